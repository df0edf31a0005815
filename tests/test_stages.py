"""Stages: what is done is a result, and no other is."""

import contextlib
import subprocess
import sys

import pytest
from etils import epath

from sslprune_jax.runtime import files
from sslprune_jax.runtime.errors import DivergedError, UserError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import results, stages
from sslprune_jax.workdir import Stage


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_no_result(value, tmp_path):
  folder = "seed_0/rotnet/round_00"
  lines = [{"metric": "accuracy", "value": 0.5, "density": 1.0}]
  lines.append(lines[0] | {"metric": "loss", "value": value})
  progress = Progress()
  progress.start(1)
  with pytest.raises(
    DivergedError, match=f"{folder}: loss: found {value}, exp"
  ):
    stages.run_once(epath.Path(tmp_path), folder, 1, lambda: lines, progress)
  progress.close()
  assert not results.exists(epath.Path(tmp_path) / folder)


def _line(index):
  return {"metric": "accuracy", "value": index / 10, "density": 0.5}


def test_lines_are_added_and_what_was_run_last_puts_them_in_order(
  tmp_path, monkeypatch
):
  whole = []
  write = files.write_json_lines
  monkeypatch.setattr(
    files,
    "write_json_lines",
    lambda path, lines: whole.append(len(lines)) or write(path, lines),
  )
  workdir, progress = epath.Path(tmp_path), Progress()
  planned = [Stage(0, "rotnet", index) for index in range(6)]
  results.write(workdir / planned[3].path, [_line(3)])  # An earlier run's.
  results.write(workdir / planned[5].path, [_line(5)])  # This one's, of before.
  own = planned[:3] + planned[4:]
  found = stages.Stages(workdir, own, "", progress)
  found.join_with(planned)
  progress.start(6)
  with contextlib.closing(progress):
    for stage in own:
      found.once(stage.path, 1, lambda i=stage.round: [_line(i)])
      rows = files.read_json_lines(workdir / "results.jsonl")
      assert _line(stage.round) in rows and _line(5) in rows
  assert [row["value"] for row in rows] == [0, 0.3, 0.5, 0.1, 0.2, 0.4]
  assert found.join() == [_line(stage.round) for stage in own]
  rows = files.read_json_lines(workdir / "results.jsonl")
  assert rows == [_line(index) for index in range(6)]
  assert whole == [3, 6]


def test_a_line_that_finds_no_room_leaves_nothing(tmp_path):
  path = tmp_path / "results.jsonl"
  files.append_json_lines(path, [_line(1)])
  before = path.read_bytes()
  code = (
    "import resource, sys; from sslprune_jax.runtime import files; "
    f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 9},) * 2); "
    "files.append_json_lines(sys.argv[1], [{'metric': 'accuracy'}])"
  )
  done = subprocess.run(
    [sys.executable, "-c", code, path], capture_output=True, text=True
  )
  assert "No space left on device" in done.stderr
  assert path.read_bytes() == before


@pytest.mark.parametrize("is_folder_of_it", [False, True])
def test_a_workdir_that_is_no_utf8_is_refused_before_anything_is_written(
  is_folder_of_it, tmp_path, monkeypatch
):
  name = "b\udcffn"
  workdir = epath.Path(tmp_path) / name
  if is_folder_of_it:
    workdir.mkdir()
    monkeypatch.chdir(workdir)
    workdir = epath.Path("run")
  with pytest.raises(
    UserError, match=r"/b\\udcffn(/run)?: found a path that i"
  ):
    with stages.hold(workdir, (0, 1)):
      pass
  assert not workdir.exists()
