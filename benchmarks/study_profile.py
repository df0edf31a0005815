"""Where does the time of a study go, from the start of Python to the report?

  python benchmarks/study_profile.py           # the two of docs/benchmarks.md
  python benchmarks/study_profile.py --config=configs/quickstart.py

Each study runs from the start in a process and a folder of its own, with an
empty compilation cache, as on the first run, and then again with what that one
compiled: "warm". The main thread's time is divided
among the functions named below, each without what it calls of the others;
"training" is what remains of the loop: dispatch, and waiting for the device.
Tracing, lowering and compiling are told apart by JAX's own events, wherever
they happen.
"""

import argparse
import bisect
import collections
import importlib
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import time

_HERE = pathlib.Path(__file__).parent
_QUICKSTART = str(_HERE.parent / "configs/quickstart.py")
_FASHION_MNIST = "fashion_mnist"
# Part of a study -> what does it, as module:name.
PARTS = {
  "start": (),  # Of Python and JAX, and the imports.
  "load data": ("study.study:StudyData",),
  "compile": (),
  "training": ("training.loop:train",),
  "feed": (),
  "evaluation": ("training.loop:evaluate",),
  "checkpoints": (
    "training.checkpoints:Checkpoints.save",
    "training.checkpoints:Checkpoints.wait",
    "training.checkpoints:Checkpoints.restore_newest",
    "training.checkpoints:Checkpoints.rewind",
    "training.checkpoints:Checkpoints.close",
    "training.checkpoints:Checkpoints.delete",
  ),
  "prune": ("pruning.magnitude:prune",),
  "tickets and results": (
    "pruning.tickets:save",
    "pruning.tickets:load",
    "pruning.sparsity:magnitudes",
    "pruning.sparsity:report",
    "pruning.masks:check_pruned",
    "runtime.files:write_json",
    "study.stages:write_results",
  ),
  "begin a training": (
    "training.state:create",
    "training.trainer:Trainer.draw",
  ),
  "report": ("report:write_report",),
  "other": (),  # What is in none of them.
}


class Clock:
  """Divides the time of one thread among parts that call each other."""

  def __init__(self, began):
    """Starts in "start", at a time of `time.monotonic`."""
    self._parts, self._turns = ["other", "start"], [(began, "start")]
    self._compiling = []

  def enter(self, part):
    """Goes to a part."""
    self._parts.append(part)
    self._turns.append((time.monotonic(), part))

  def leave(self):
    """Goes back to the part that called."""
    self._parts.pop()
    self._turns.append((time.monotonic(), self._parts[-1]))

  def compiled(self, event, seconds, **_):
    """Takes down that JAX has traced, lowered, compiled or read."""
    if event.startswith("/jax/core/compile/"):
      now = time.monotonic()
      self._compiling.append((now - seconds, now))

  def shares(self):
    """Returns seconds by part; a moment of compiling counts as that alone."""
    ends = [when for when, _ in self._turns[1:]] + [time.monotonic()]
    seconds = collections.Counter()
    starts = [when for when, _ in self._turns]
    for (begin, part), end in zip(self._turns, ends, strict=True):
      seconds[part] += end - begin
    until = 0.0
    for begin, end in sorted(self._compiling):
      begin = max(begin, until, starts[0])  # Events lie within each other.
      while begin < end:
        turn = bisect.bisect_right(starts, begin) - 1
        stop = min(end, ends[turn])
        seconds[self._turns[turn][1]] -= stop - begin
        seconds["compile"] += stop - begin
        begin = stop
      until = max(until, end)
    return dict(seconds)


def _timed(clock, part, function):
  def timed(*args, **kwargs):
    clock.enter(part)
    try:
      return function(*args, **kwargs)
    finally:
      clock.leave()

  return timed


def find(name):
  """Returns what holds a function of `PARTS`, its name there, and itself."""
  module, path = name.split(":")
  owner = importlib.import_module(f"sslprune_jax.{module}")
  *owners, last = path.split(".")
  for each in owners:
    owner = getattr(owner, each)
  return owner, last, getattr(owner, last)


def _watch(clock):
  """Puts the clock around all functions of `PARTS`, and around the feed."""
  for part, names in PARTS.items():
    for name in names:
      owner, last, function = find(name)
      setattr(owner, last, _timed(clock, part, function))

  from sslprune_jax.training.trainer import Trainer

  batches = Trainer.batches

  def fed(*arguments):
    made = batches(*arguments)
    following = _timed(clock, "feed", lambda: next(made, None))
    while (batch := following()) is not None:
      yield batch

  Trainer.batches = fed


def _child(path, began):
  """Runs a study as `main` does, and prints the seconds of each part."""
  clock = Clock(began)
  import jax.monitoring

  jax.monitoring.register_event_duration_secs_listener(clock.compiled)
  from sslprune_jax import cli
  from sslprune_jax.study import run

  _watch(clock)
  answers, sys.stdout = sys.stdout, sys.stderr
  with tempfile.TemporaryDirectory() as folder:

    def work():
      clock.leave()
      run.run(_config(path), folder)
      return folder

    cli.run(work)
    print(json.dumps(clock.shares()), file=answers, flush=True)


def _config(path):
  if path == _FASHION_MNIST:
    return _fashion_mnist()
  return runpy.run_path(path)["get_config"]()


def _fashion_mnist():
  from sslprune_jax.config import recipes

  config = recipes.study("labels", "fashion_mnist")
  config.seeds = (0,)
  config.train.duration = config.retrain.train.duration = "1ep"
  config.prune.update(rounds=3, rewind="100it")
  config.retrain.update(rounds=(3,), inits=("rewind", "random"))
  return config


def measure(path):
  """Runs a study twice, each time in a process of its own.

  Args:
    path: of a configuration, or `_FASHION_MNIST`.

  Yields:
    JSON values of each run: the study, its seconds, and the share of each part,
    the largest first.
  """
  name = pathlib.Path(path).stem
  with tempfile.TemporaryDirectory() as cache:
    for study in (name, f"{name}, warm"):
      yield {"study": study} | _measure_once(path, cache)


def _measure_once(path, cache):
  answer = subprocess.run(
    [sys.executable, __file__, "--child", path, str(time.monotonic())],
    stdout=subprocess.PIPE,
    check=True,
    env={
      **os.environ,
      "PYTHONPATH": str(_HERE.parent),
      "XDG_CACHE_HOME": cache,
    },
  ).stdout
  seconds = json.loads(answer)
  total = sum(seconds.values())
  ordered = sorted(seconds.items(), key=lambda item: -item[1])
  return {
    "seconds": round(total, 1),
    "shares": {part: round(s / total, 4) for part, s in ordered},
  }


def measure_all():
  """Runs both studies; yields what was found."""
  for path in (_QUICKSTART, _FASHION_MNIST):
    yield from measure(path)


def main():
  """Prints a line of JSON for each study."""
  if sys.argv[1:2] == ["--child"]:
    return _child(sys.argv[2], float(sys.argv[3]))
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--config", help="a study of your own in their place")
  arguments = parser.parse_args()
  path = arguments.config
  for found in measure(path) if path else measure_all():
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
  main()
