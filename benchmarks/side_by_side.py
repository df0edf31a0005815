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
  "--config.retrain.rounds=()", "--config.prune.rounds=12",
  "--config.train.duration=30ep",
)  # fmt: skip
# The first is too small to fill two cores by itself, the second is not.
_CASES = {
  "convnet x 0.25, digits, batch 32": (
    "--config.model.width=0.25",
    "--config.train.batch_size=32",
  ),
  "convnet, digits, batch 128": (),
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
  seconds = {1: [], 2: []}
  digests = set()
  for repeat in range(repeats + 1):
    for processes in seconds:
      workdir = folder / f"{name}_{repeat}_{processes}"
      taken = _run(name, workdir, processes)
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


def _run(name: str, workdir: pathlib.Path, processes: int) -> float:
  command = [
    sys.executable, "-m", "sslprune_jax.main", *_STUDY, *_CASES[name],
    f"--workdir={workdir}", f"--processes={processes}",
  ]  # fmt: skip
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
