"""A workdir of the first version is read, reported and resumed for ever.

`workdirs/first` was made by commit 57e8978, on two CPU cores, by

  python -m sslprune_jax.main --config=configs/npid.py:digits \
    --workdir=tests/workdirs/first --config.seeds='(0,)' \
    --config.model.width=0.125 --config.npid.embedding=4 \
    --config.prune.rounds=1 --config.prune.rewind=20it \
    --config.train.duration=120it --config.retrain.rounds='(1,)' \
    --config.retrain.inits="('rewind','random')" \
    --config.retrain.train.duration=20it \
    --config.transfer.protocols="('knn:digits',)" \
    --config.transfer.rounds='(1,)' \
    --config.log.every=10it --config.log.checkpoint=50it

and ended by `kill -9` in round 1, at about update 100, of which the checkpoint
was not written yet: that of update 50 is the newest. Nothing in it is ever made
anew. Bits are not compared: what follows the checkpoint depends on the machine.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parent.parent
_WORKDIRS = _ROOT / "tests/workdirs"
_FIRST = _WORKDIRS / "first"
_ROUND = "seed_0/npid/round_01"
_SAVED = 50  # update of the newest checkpoint
# What a user has to say to go on from results of older numerics.
_FLAGS = ("--accept_numerics",)
_PLANNED = [
  ("random", "transfer", 0, None),
  ("npid", "pretext", 0, None),
  ("npid", "pretext", 1, None),
  ("npid", "retrain", 1, "rewind"),
  ("npid", "retrain", 1, "random"),
  ("npid", "transfer", 1, None),
]


@pytest.fixture
def workdir(tmp_path):
  """A copy that a test may go on with."""
  return shutil.copytree(_FIRST, tmp_path / "first")


def _run(module, *arguments):
  done = subprocess.run(
    [sys.executable, "-m", f"sslprune_jax.{module}", *map(str, arguments)],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout + done.stderr


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _stages(workdir):
  """Returns the stages that have results, in the order of the lines."""
  fields = ("task", "stage", "round", "init")
  lines = _lines(workdir / "results.jsonl")
  return [*dict.fromkeys(tuple(line[f] for f in fields) for line in lines)]


def test_the_unfinished_workdir_is_reported(workdir, tmp_path):
  page = tmp_path / "page/report.html"
  _run("report", workdir, f"--out={page}")
  assert "npid" in page.read_text().lower()
  assert list((page.parent / "figures").glob("*.png"))


def test_a_ticket_is_judged_without_its_study(workdir, tmp_path):
  _run(
    "transfer",
    f"--config={_ROOT}/configs/transfer.py:digits",
    f"--ticket={workdir}/seed_0/npid/round_00",
    f"--workdir={tmp_path / 'judged'}",
    "--config.transfer.protocols=('knn:digits',)",
    "--config.transfer.random=False",
  )
  assert _stages(tmp_path / "judged") == [("npid", "transfer", 0, None)]


def test_it_is_resumed_from_its_checkpoint_and_finished(workdir):
  said = _run(
    "main",
    f"--config={_WORKDIRS}/first.py",
    f"--workdir={workdir}",
    *_FLAGS,
  )
  assert "report:" in said and (workdir / "report.html").exists()
  assert _stages(_FIRST) == _PLANNED[:2]
  assert _stages(workdir) == _PLANNED
  # What was finished stays as it was written.
  before = (_FIRST / "results.jsonl").read_text()
  assert (workdir / "results.jsonl").read_text().startswith(before)
  for path in _FIRST.glob("seed_0/npid/round_00/*.*"):
    now = workdir / path.relative_to(_FIRST)
    assert now.read_bytes() == path.read_bytes(), path.name
  # So do the lines that led to the checkpoint, with the seconds they took; a
  # training from nothing writes its own.
  before, now = (
    _lines(of / _ROUND / "metrics.jsonl") for of in (_FIRST, workdir)
  )
  kept = [line for line in before if line["update"] <= _SAVED]
  assert len(kept) == 4 and now[: len(kept)] == kept
  assert now[-1]["update"] == 120
