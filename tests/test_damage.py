"""Damage to what a run left: named or made again, and never a wrong result.

Every kind of file of a finished and of a half-finished workdir is truncated,
zeroed, flipped in a bit, and deleted.
"""

import itertools
import json
import pathlib
import re
import shutil

import pytest
from damage import (
  DAMAGES,
  Commands,
  Sweep,
  delete,
  flip,
  get_config,
  kinds,
  start,
  truncate,
  zero,
)
from helpers import TIMES, bits, die_after
from matplotlib import figure

from sslprune_jax import cli, report
from sslprune_jax.report import results as report_results
from sslprune_jax.report.paper import runs
from sslprune_jax.runtime import digests
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.study import __main__ as command
from sslprune_jax.study import run as run_lib
from sslprune_jax.study.verify import verify

# Said, but no part of a result: what a training went through.
_TUNED = "finetune_digits_0.2"

# Orbax leaves tasks behind that nobody awaits.
pytestmark = pytest.mark.filterwarnings(
  "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("whole") / "run"
  run_lib.run(get_config(), workdir)
  return workdir


@pytest.fixture(scope="module")
def half(whole, tmp_path_factory):
  """The study as it was when it was killed in round 1 of its last variant."""
  workdir = tmp_path_factory.mktemp("half") / "run"
  shutil.copytree(whole, workdir)
  (workdir / "overlaps.jsonl").unlink()
  for later in ("round_01", "retrain", "transfer"):
    shutil.rmtree(workdir / "rotnet/seed_0/rotnet" / later)
  with pytest.MonkeyPatch.context() as patch:
    die_after(4, patch)  # A checkpoint is saved at update 5; k is 3.
    with pytest.raises(KeyboardInterrupt):
      run_lib.run(get_config(), workdir)
  assert list(workdir.glob("rotnet/**/round_01/checkpoint/5"))
  return workdir


@pytest.fixture
def copy(whole, tmp_path):
  """A copy of the whole study that a test may damage."""
  return pathlib.Path(shutil.copytree(whole, tmp_path / "run"))


def _judge(sweep, cells):
  """Returns the damages that a user would not have been told of as one must."""
  found = []
  for name, damage in cells:
    if words := sweep.damage(name, damage):
      found.append((name, damage.__name__, words))
  return found


def _deal(names):
  """Deals the damages to files, one each."""
  return list(zip(names, itertools.cycle(DAMAGES), strict=False))


@pytest.fixture
def undrawn(monkeypatch):
  """Draws no pictures, which would take most of the time."""
  monkeypatch.setattr(figure.Figure, "savefig", lambda *_, **__: None)


def test_damage_to_a_finished_study_is_said_or_mended(whole, undrawn, tmp_path):
  cells = _deal(kinds(whole))
  assert len(cells) > 20
  assert _judge(Sweep(whole, whole, tmp_path), cells) == []


def test_damage_to_a_study_that_goes_on_is_said_or_mended(
  whole, half, undrawn, tmp_path
):
  own = [name for name in kinds(half / "rotnet") if "round_0" in name]
  read = [f"rotnet/{n}" for n in own if re.search("rewind/|checkpoint/", n)]
  metrics = "rotnet/seed_0/rotnet/round_01/metrics.jsonl"
  cells = [(metrics, truncate), *_deal(read)[3::6]]  # Arrays of each.
  assert len(cells) == 3
  assert _judge(Sweep(half, whole, tmp_path), cells) == []


def test_a_log_cut_before_the_end_of_its_line_is_named(half, tmp_path):
  copy = pathlib.Path(shutil.copytree(half, tmp_path / "run"))
  path = copy / "rotnet/seed_0/rotnet/round_01/metrics.jsonl"
  before = verify(copy)[0]
  path.write_bytes(path.read_bytes().removesuffix(b"\n"))
  ((words, place),) = (
    found for found in verify(copy)[0] if found not in before
  )
  assert words.startswith(f"{path}: damaged: ") and place == path.parent


def test_a_line_that_two_processes_wrote_counts_once(copy):
  file = copy / "rotnet/results.jsonl"
  (before,) = report_results.read([copy / "rotnet"])
  lines = file.read_text().splitlines()
  file.write_text("\n".join([*lines, lines[0]]) + "\n")
  (run,) = report_results.read([copy / "rotnet"])
  assert run.rows == before.rows and not run.left_out


def test_a_page_has_no_number_of_results_that_were_changed(copy):
  file = copy / "rotnet/results.jsonl"
  first, *rest = file.read_text().splitlines()
  value = json.loads(first)["value"]
  file.write_text("\n".join([first.replace(str(value), "0.5"), *rest]) + "\n")
  (run,) = report_results.read([copy / "rotnet"])
  assert run.left_out == [
    f"{file}: lacks 1 of the lines of its stages; the command of the study "
    "writes them",
    f"{file}, line 1: damaged: no line of its stages",
  ]
  assert len(run.rows) == len(rest)
  stage = copy / "rotnet/seed_0/rotnet/round_01/result.json"
  stage.write_text(stage.read_text().replace('"test"', '"tset"'))
  (run,) = report_results.read([copy / "rotnet"])
  assert f"{stage}: damaged: its values are not those of its digest" in (
    run.left_out
  )


@pytest.mark.parametrize(
  "stage",
  [
    "round_01",
    "retrain/round_01/reinit",
    "transfer/round_01/svm_digits_0.2",
  ],
)
def test_a_page_names_the_result_of_a_stage_that_is_lost(stage, copy):
  lost = copy / "labels/seed_0/labels" / stage / "result.json"
  lost.unlink()
  (run,) = report_results.read([copy / "labels"])
  assert run.left_out and all(
    re.search(rf"line \d+: of a stage without its result: {lost}: m", words)
    for words in run.left_out
  )


@pytest.mark.parametrize("name", ["sparsity.json", "magnitudes.json"])
def test_a_page_names_what_a_round_has_lost(name, copy):
  lost = copy / "labels/seed_0/labels/round_00" / name
  lost.unlink()
  (run,) = report_results.read([copy / "labels"])
  assert run.left_out == [f"{lost}: missing, expected a file"]


@pytest.mark.slow
@pytest.mark.parametrize("of", ["whole", "half"])
def test_every_damage_to_every_kind_of_file(of, whole, request, tmp_path):
  workdir = request.getfixturevalue(of)
  cells = list(itertools.product(kinds(workdir), DAMAGES))
  assert len(cells) > 80
  cells = cells[:: max(1, 100 // TIMES)]
  assert _judge(Sweep(workdir, whole, tmp_path), cells) == []


@pytest.mark.slow
def test_the_commands_say_of_damage_what_they_must(tmp_path):
  whole = tmp_path / "whole"
  assert start(whole).returncode == 0
  cells = _deal(kinds(whole))[:: max(2, 100 // TIMES)]
  assert _judge(Commands(whole, whole, tmp_path), cells) == []


def test_a_whole_study_is_verified_and_says_so(whole, capsys):
  assert command.main([str(whole)]) == 0
  said = capsys.readouterr().out
  assert said == f"{whole}: 12 stages done, nothing damaged\n"


def test_a_workdir_may_lie_at_home(copy, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(copy.parent))
  before = (copy / "labels/results.jsonl").read_text()
  monkeypatch.chdir(tmp_path)
  (copy / "labels/results.jsonl").unlink()
  run_lib.run(get_config(), f"~/{copy.name}")
  assert (copy / "labels/results.jsonl").read_text() == before
  assert cli._write_report(f"~/{copy.name}") == copy / "report.html"
  assert [path.name for path in tmp_path.iterdir()] == [copy.name]


def test_a_study_in_a_folder_that_is_no_utf8_is_not_called_damaged(
  copy, tmp_path
):
  moved = copy.rename(tmp_path / "b\udcffn")
  # Whose checkpoints Orbax cannot open; of a copy elsewhere it can.
  with pytest.raises(SystemExit, match=r"^error: .*udcffn/.*/rewind: found a"):
    command.main([str(moved)])
  assert report.write_report([moved], moved / "report.html")


def test_what_is_damaged_is_named_with_what_to_delete(whole, tmp_path, capsys):
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  folder = copy / "labels/seed_0/labels/round_01"
  flip(folder / "trained.npz")
  assert command.main([str(copy)]) == 1
  said = capsys.readouterr()
  assert said.err.splitlines() == [
    f"error: {folder}/trained.npz: damaged: its bytes are not those of its "
    f"digest; delete {folder} and run the command of the study again"
  ]
  assert said.out == f"{copy}: 12 stages done, 1 damaged\n"
  shutil.rmtree(folder)
  run_lib.run(get_config(), copy)
  assert command.main([str(copy)]) == 0
  assert bits(copy) == bits(whole)


@pytest.mark.parametrize("damage", [truncate, zero, delete])
def test_a_finished_study_misses_its_tickets(damage, whole, tmp_path):
  # 93 of 93 went unnoticed.
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  path = copy / "rotnet/seed_0/rotnet/round_00/ticket.npz"
  damage(path)
  if damage is zero:  # Of the same size: nothing reads it again.
    assert verify(copy)[0]
    return
  with pytest.raises(UserError, match=f"{path}: (missing|damaged: found)") as e:
    run_lib.run(get_config(), copy)
  assert f"remove {path.parent} and run" in e.value.advice


def test_a_result_that_was_edited_is_refused(whole, tmp_path):
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  path = copy / "rotnet/seed_0/rotnet/retrain/round_01/rewind/result.json"
  found = json.loads(path.read_text())
  assert set(found) == {"lines", "files", "numerics", "sha256"}
  found["lines"][0]["value"] = 0.99
  path.write_text(json.dumps(found))
  with pytest.raises(UserError, match=f"{path}: damaged: its values are not"):
    run_lib.run(get_config(), copy)


def _change_a_digit(path):
  """Changes a count of the first layer, and no size."""
  content = path.read_bytes()
  place = content.index(b'"kept": ') + len(b'"kept": ')
  digit = b"%d" % ((int(content[place : place + 1]) + 1) % 10 or 1)
  path.write_bytes(content[:place] + digit + content[place + 1 :])


def test_a_page_is_drawn_from_no_count_that_was_changed(copy):
  path = copy / "rotnet/seed_0/rotnet/round_01/sparsity.json"
  _change_a_digit(path)
  (run,) = report_results.read([copy / "rotnet"])
  assert run.left_out == [
    f"{path}: damaged: its bytes are not those of its digest"
  ]
  with pytest.raises(UserError, match=f"{path}: damaged") as error:
    run_lib.run(get_config(), copy)
  assert f"remove {path.parent} and run" in error.value.advice


@pytest.mark.parametrize("without", ["a digit", "a digest"])
def test_overlaps_that_were_changed_are_made_again(without, whole, copy):
  path = copy / "overlaps.jsonl"
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  if without == "a digest":  # As those of older versions.
    del lines[0]["sha256"]
  else:
    lines[0]["layers"][0]["both"] += 1
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))
  if without == "a digit":
    with pytest.raises(UserError, match="overlaps.jsonl, line 1: damaged: not"):
      runs.read([copy])
  run_lib.run(get_config(), copy)
  assert path.read_bytes() == (whole / "overlaps.jsonl").read_bytes()


@pytest.mark.parametrize("content", ["[]", "[{}]", "[3]"])
def test_a_new_study_has_no_result_without_a_digest(content, copy):
  path = copy / "labels/seed_0/labels/round_01/result.json"
  path.write_text(content)
  with pytest.raises(UserError, match=f"{path}: damaged: no result"):
    run_lib.run(get_config(), copy)


@pytest.mark.parametrize(
  "name, old, new",
  [
    ("config.json", '"digits"', '"fig1ts"'),
    ("rotnet/config.json", '"digits"', '"fig1ts"'),
    ("left_out.json", "{", "["),
    ("left_out.json", "meta", "mate"),
    ("seed_0/rotnet/transfer/round_01/ticket.json", "3", "4"),
    ("seed_0/rotnet/transfer/round_01/ticket.json", "{", ""),
  ],
)
def test_what_stands_above_the_stages_is_verified_too(name, old, new, copy):
  path = copy / name
  if not path.exists():  # Of other kinds of studies.
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"ticket": {"meta": "3"}}
    path.write_text(json.dumps(digests.stamp(value)))
    assert not verify(copy)[0]
  path.write_text(path.read_text().replace(old, new, 1))
  ((words, place),) = verify(copy)[0]
  assert words.startswith(f"{path}: damaged: ") and place == path


def test_results_of_the_first_version_are_taken_and_counted(whole, tmp_path):
  copy = tmp_path / "run"
  shutil.copytree(whole, copy)
  for path in copy.glob("**/result.json"):
    path.write_text(json.dumps(json.loads(path.read_text())["lines"]))
  for path in copy.glob("**/config.json"):
    kept = json.loads(path.read_text()) | {"accepted_numerics": [0]}
    del kept["sha256"]
    path.write_text(json.dumps(kept))
  assert run_lib.run(get_config(), copy)
  damages, done, unverifiable = verify(copy)
  assert (damages, done, unverifiable) == ([], 12, 12)


_DEEP = b"[" * 9000 + b"]" * 9000


@pytest.mark.parametrize(
  "name, content",
  [
    ("labels/config.json", _DEEP),
    ("labels/results.jsonl", _DEEP),
    ("labels/results.jsonl", b"\xff"),
    ("labels/seed_0/labels/round_01/result.json", _DEEP),
    ("labels/seed_0/labels/round_01/result.json", None),
    ("labels/seed_0/labels/round_01/metrics.jsonl", _DEEP),
    ("labels/seed_0/labels/round_01/metrics.jsonl", b"[3]"),
    ("labels/seed_0/labels/round_01/metrics.jsonl", b""),
    ("labels/seed_0/labels/retrain/round_01/rewind/metrics.jsonl", None),
    (f"labels/seed_0/labels/transfer/round_01/{_TUNED}/metrics.jsonl", b""),
  ],
)
def test_what_cannot_be_read_is_one_line_of_verify(name, content, copy):
  path = copy / name
  path.unlink()
  if content is None:
    path.mkdir()
  elif content:
    path.write_bytes(content)
  (words,) = (words for words, _ in verify(copy)[0])
  assert words.startswith(str(path)) and "\n" not in words
