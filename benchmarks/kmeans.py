"""k-means beside faiss: the same points, start, iterations and threads.

  pip install -e .[benchmarks]
  python benchmarks/kmeans.py            # about 10 minutes on 2 cores
  python benchmarks/kmeans.py --quick    # small sizes, a look at the path

Prints a line of JSON for each size: the time of ours over that of faiss (median
of ratios taken side by side), in bfloat16 and float32, the inertia that each
ended with over faiss's, and the most memory that a process of ours held beyond
points and centroids, with whether that is within 256 MiB.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
from cases.clustering import Faiss, Ours, points_of

from sslprune_jax.runtime import environment

_ITERATIONS = 5
_SIZES = ((100_000, 1_000), (500_000, 1_000), (100_000, 10_000))
_ALLOWED = 256 * 2**20  # bytes beyond points and centroids


def compare(size, k, repeats):
  """Returns ratios to faiss, medians of pairs that ran one after the other."""
  points = points_of(size)
  start = points[np.random.default_rng(1).choice(size, k, replace=False)]
  rivals = {
    "faiss": Faiss(points),
    "bfloat16": Ours(points, "bfloat16"),
    "float32": Ours(points, "float32"),
  }
  for rival in rivals.values():  # Compiles, and touches the memory.
    _timed(rival, start, 1)
  seconds, inertia = {name: [] for name in rivals}, {}
  for _ in range(repeats):
    for name, rival in rivals.items():
      took, inertia[name] = _timed(rival, start, _ITERATIONS)
      seconds[name].append(took)
  line = {"N": size, "k": k, "faiss_seconds": np.median(seconds["faiss"])}
  for name in ("bfloat16", "float32"):
    pairs = np.divide(seconds[name], seconds["faiss"])
    line[f"{name}_time_ratio"] = np.median(pairs)
    line[f"{name}_inertia_ratio"] = inertia[name] / inertia["faiss"]
  return line


def _timed(rival, start, iterations):
  """Returns seconds and the final inertia."""
  began = time.perf_counter()
  inertia = rival.cluster(start, iterations)
  return time.perf_counter() - began, inertia


def memory(size, k):
  """Returns the bytes that k-means took beyond points and centroids."""
  points = points_of(size)
  start = points[:k].copy()
  ours = Ours(points, "bfloat16")
  ours.cluster(start[:8], iterations=1)  # XLA's own threads and code.
  pathlib.Path("/proc/self/clear_refs").write_text("5")  # Resets the peak.
  before = _resident("VmRSS")
  ours.cluster(start, iterations=2)
  return _resident("VmHWM") - before - start.nbytes


def _resident(field):
  """Returns a line of /proc/self/status in bytes."""
  status = pathlib.Path("/proc/self/status").read_text()
  line = next(x for x in status.splitlines() if x.startswith(field + ":"))
  return int(line.split()[1]) * 1024


def main():
  """Runs each size in a process of its own, so that memory starts anew."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--quick", action="store_true", help="small sizes")
  parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  repeats = 3 if arguments.quick else 5
  if arguments.only:
    environment.prepare()
    what, size, k = arguments.only
    if what == "memory":
      print(memory(int(size), int(k)))
    else:
      print(json.dumps(compare(int(size), int(k), repeats)))
    return
  scale = 20 if arguments.quick else 1
  for size, k in _SIZES:
    line = json.loads(_alone("compare", size // scale, k // scale, arguments))
    extra = int(_alone("memory", size // scale, k // scale, arguments))
    line["extra_memory_mib"] = extra / 2**20
    line["memory_allowed"] = extra <= _ALLOWED
    line = {
      name: round(x, 5) if isinstance(x, float) else x
      for name, x in line.items()
    }
    print(json.dumps({**line, "load": os.getloadavg()[0]}), flush=True)


def _alone(what, size, k, arguments):
  """Runs a part in a process of its own; returns the last line it printed."""
  command = [sys.executable, __file__, "--only", what, str(size), str(k)]
  if arguments.quick:
    command.append("--quick")
  run = subprocess.run(command, check=True, capture_output=True, text=True)
  return run.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
  main()
