"""Short studies: killed and gone on with, and by several processes."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import golden_compare

ROOT = pathlib.Path(__file__).parent.parent.parent
_STUDY = (
  "--config=configs/rotnet.py:digits",
  "--config.seeds=(0,1)",
  "--config.prune.rounds=2",
  "--config.prune.rewind=3it",
  "--config.train.duration=40it",
  "--config.train.batch_size=64",
  "--config.retrain.train.duration=12it",
  "--config.retrain.rounds=(0,2)",
  "--config.log.every=1it",
  "--config.log.checkpoint=10it",
)
_KILLED_IN = "seed_0/rotnet/round_01/metrics.jsonl"
_UPDATES = 15  # of that round, after which it is killed
# What XLA is told on GPUs, so that a program sums in one order.
_ORDERLY = "--xla_gpu_deterministic_ops=true"


def compare_killed(seconds):
  """Kills a study and goes on with it; it ends in the bits of a whole one.

  On a GPU both are done a second time where kernels are told to be
  deterministic, if the bits differ without.
  """
  until = time.monotonic() + seconds
  found = _compare_killed({}, until)
  if found["ok"] or _devices()[0] != "gpu":
    return found
  flags = f"{os.environ.get('XLA_FLAGS', '')} {_ORDERLY}".strip()
  again = _compare_killed({"XLA_FLAGS": flags}, until)
  return {**found, "with_deterministic_ops": again}


def _compare_killed(environment, until):
  with tempfile.TemporaryDirectory() as folder:
    whole, killed = (pathlib.Path(folder) / name for name in ("a", "b"))
    began = time.monotonic()
    _end(_start(whole, **environment), until)
    taken = time.monotonic() - began
    running = _start(killed, **environment)
    path = killed / _KILLED_IN
    while running.poll() is None and _count_lines(path) < _UPDATES:
      time.sleep(0.01)
    is_killed = running.poll() is None
    running.kill()
    running.wait()
    _end(_start(killed, **environment), until)
    return {
      **_compare(whole, killed, is_killed),
      "study_s": round(taken, 1),
    }


def compare_processes(seconds):
  """Runs two seeds by two processes, each on its device, and by one."""
  platform, count = _devices()
  if platform != "cpu" and int(count) == 1:
    return {"not_run": "one device"}
  until = time.monotonic() + seconds
  with tempfile.TemporaryDirectory() as folder:
    workdirs = [pathlib.Path(folder) / f"{count}" for count in (1, 2)]
    for count, workdir in enumerate(workdirs, 1):
      _end(_start(workdir, f"--processes={count}"), until)
    return _compare(*workdirs)


def _devices():
  """Asks another process for the platform, and how many devices there are.

  One that holds a TPU keeps it from the studies.
  """
  words = "import jax; print(jax.default_backend(), jax.local_device_count())"
  command = [sys.executable, "-c", words]
  return subprocess.check_output(command, text=True).split()[-2:]


def _start(workdir, *flags, **environment):
  return subprocess.Popen(
    [sys.executable, "-m", "sslprune_jax.main", *_STUDY, *flags]
    + [f"--workdir={workdir}"],
    cwd=ROOT,
    env={**os.environ, **environment},
    stdout=sys.stderr,
  )


def _end(process, until):
  """Waits for a study that must not fail."""
  try:
    status = process.wait(max(1, until - time.monotonic()))
  except subprocess.TimeoutExpired:
    process.kill()
    raise
  if status:
    raise RuntimeError(f"a study ended with {status}")


def _count_lines(path):
  return path.read_text().count("\n") if path.exists() else 0


def _compare(before, now, is_killed=True):
  found = golden_compare.compare(before, now)
  return {
    "ok": is_killed and found.tickets > 0 and not found.differences,
    "tickets": found.tickets,
    "lines": found.lines,
    "differ": len(found.differences),
    "first": found.differences[:2],
  }
