"""What do two seeds at a time gain over one after the other?

  python benchmarks/side_by_side.py

Runs the same study of two seeds by one process and by two (`--processes=2`), in
turn, each from the start of Python to the report, with a warm compilation
cache; checks that both leave the same bits; prints a line of JSON for each
case: medians in seconds, their ratio (throughput of two over one), and the
spread of the ratios of neighbouring runs.
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
  "--config.prune.rounds=12", "--config.retrain.rounds=()",
)  # fmt: skip
# The smaller the batch, the less of two cores one process fills.
_CASES = {f"convnet, digits, batch {size}": size for size in (32, 128)}


def main():
  """Prints a line of JSON for every case."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--repeats", type=int, default=3)
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    for name, batch in _CASES.items():
      print(json.dumps(_case(name, batch, arguments.repeats, folder)))


def _case(name: str, batch: int, repeats: int, folder: str) -> dict:
  seconds = {1: [], 2: []}
  digests = set()
  for repeat in range(repeats + 1):
    for processes in seconds:
      workdir = pathlib.Path(folder, f"{batch}_{repeat}_{processes}")
      taken = _run(workdir, processes, batch, folder)
      digests.add(_digest(workdir))
      if repeat:  # The first fills the compilation cache.
        seconds[processes].append(taken)
  ratios = [one / two for one, two in zip(*seconds.values(), strict=True)]
  medians = {n: statistics.median(times) for n, times in seconds.items()}
  return {
    "case": name,
    "one_process_s": round(medians[1], 1),
    "two_processes_s": round(medians[2], 1),
    "throughput": round(medians[1] / medians[2], 2),
    "least": round(min(ratios), 2),
    "most": round(max(ratios), 2),
    "same_bits": len(digests) == 1,
    "repeats": repeats,
  }


def _run(workdir, processes: int, batch: int, cache: str) -> float:
  command = [
    sys.executable, "-m", "sslprune_jax.main", *_STUDY,
    f"--workdir={workdir}", f"--processes={processes}",
    f"--config.train.batch_size={batch}",
  ]  # fmt: skip
  begin = time.perf_counter()
  subprocess.run(
    command,
    check=True,
    cwd=ROOT,
    env={**os.environ, "XDG_CACHE_HOME": cache},
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
