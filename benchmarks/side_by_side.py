"""What do two seeds at a time gain over one after the other?

  python benchmarks/side_by_side.py

Runs the same study of two seeds one after the other on one core
(`--processes=1`), both at a time (`--processes=2`), and by one process that
takes all cores (neither), in turn, each from the start of Python to the report,
with a warm compilation cache. Checks that the first two leave the same bits,
and prints a line of JSON for each case: medians in seconds, and the throughput
of two at a time over the others.
"""

import argparse
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
_STUDY = (
  "--config=configs/labels.py:digits", "--config.seeds=(0,1)",
  "--config.retrain.rounds=()", "--config.prune.rounds=8",
)  # fmt: skip
_CASES = {
  f"convnet, digits, batch {size}": (f"--config.train.batch_size={size}",)
  for size in (32, 128)
}


def main():
  """Prints a line of JSON for every case."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--repeats", type=int, default=3)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    for name in _CASES:
      line = _case(name, arguments.repeats, pathlib.Path(folder))
      print(json.dumps(line), flush=True)


def _case(name: str, repeats: int, folder: pathlib.Path) -> dict:
  seconds = {1: [], 2: [], None: []}
  digests = set()
  for repeat in range(repeats + 1):
    for processes in seconds:
      workdir = folder / f"{name}_{repeat}_{processes}"
      taken = _run(name, workdir, processes)
      if processes:
        digests.add(_digest(workdir))
      if repeat:  # The first fills the compilation cache.
        seconds[processes].append(taken)
  medians = {n: statistics.median(times) for n, times in seconds.items()}
  return {
    "case": name,
    "in_turn_s": round(medians[1], 1),
    "two_at_a_time_s": round(medians[2], 1),
    "all_cores_s": round(medians[None], 1),
    "over_in_turn": round(medians[1] / medians[2], 2),
    "over_all_cores": round(medians[None] / medians[2], 2),
    "same_bits": len(digests) == 1,
    "repeats": repeats,
  }


def _run(name: str, workdir: pathlib.Path, processes: int | None) -> float:
  command = [
    sys.executable, "-m", "sslprune_jax.main", *_STUDY, *_CASES[name],
    f"--workdir={workdir}",
  ]  # fmt: skip
  if processes:
    command.append(f"--processes={processes}")
  begin = time.perf_counter()
  subprocess.run(
    command,
    check=True,
    cwd=ROOT,
    env={**os.environ, "XDG_CACHE_HOME": str(workdir.parent)},
    stdout=subprocess.DEVNULL,
  )
  return time.perf_counter() - begin


def _digest(workdir: pathlib.Path) -> str:
  sha = hashlib.sha256((workdir / "results.jsonl").read_bytes())
  for ticket in sorted(workdir.rglob("*.npz")):
    sha.update(ticket.read_bytes())
  return sha.hexdigest()


if __name__ == "__main__":
  main()
