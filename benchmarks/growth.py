"""How does the time of each part grow with what it is given?

  python benchmarks/growth.py

Each part is run at every size by turns, in one process, three times at least.
The exponent is the slope of a line through the logarithms of the medians, and
that of the two largest sizes: where they differ, a constant cost still shows at
the small ones.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

_PACKAGE = pathlib.Path(__file__).parent.parent
_LEAST, _SECONDS = 3, 12  # runs of every size, and after which none is begun


def _step(batch=128, width=1.0):
  from cases import step_sides

  return step_sides.Ours("convnet", batch=batch, width=width).run


def _prune(count):
  from sslprune_jax.pruning import magnitude, masks

  weights = np.random.default_rng(0).standard_normal(count, np.float32)
  params = {"trunk": {"conv": {"kernel": weights}}}
  dense = masks.dense(params)
  return lambda: magnitude.prune(
    magnitude.score("magnitude", params, dense),
    dense,
    0.8,
    np.random.default_rng(0),
  )


def _kmeans(points=25_000, clusters=250):
  from cases import clustering

  drawn = clustering.points_of(points)
  ours = clustering.Ours(drawn, "bfloat16")
  return lambda: ours.cluster(drawn[:clusters], 2)


def _study(rounds):
  from sslprune_jax.config import recipes
  from sslprune_jax.study import run as run_lib

  config = recipes.study("labels", "digits")
  config.seeds, config.prune.rounds = (0,), rounds
  config.train.duration = "3ep"
  config.retrain.rounds = ()

  def run():
    with tempfile.TemporaryDirectory() as folder:
      run_lib.run(config, folder)

  return run


# What grows -> (in what, the sizes, a size -> what runs it).
PARTS: dict[str, tuple[str, tuple[int | float, ...], Callable]] = {
  "an update of the convnet, images": (
    "batch", (32, 64, 128, 256, 512), lambda size: _step(batch=size)
  ),
  "an update of the convnet, channels": (
    "width", (0.5, 1, 2, 4), lambda size: _step(width=size)
  ),
  "pruning, weights": (
    "weights", tuple(100_000 * 4**n for n in range(5)), _prune
  ),
  "k-means, points": (
    "points",
    tuple(12_500 * 2**n for n in range(6)),
    lambda size: _kmeans(points=size),
  ),
  "k-means, clusters": (
    "clusters",
    tuple(125 * 2**n for n in range(7)),
    lambda size: _kmeans(clusters=size),
  ),
  "a study of digits, rounds": ("rounds", (1, 2, 4, 8, 16), _study),
}  # fmt: skip


def measure(part):
  """Times a part at each of its sizes.

  Args:
    part: of `PARTS`.

  Returns:
    JSON values: the sizes, the median seconds of each, and the exponents.
  """
  from sslprune_jax.runtime import environment

  environment.prepare()
  of, sizes, make = PARTS[part]
  runs = [make(size) for size in sizes]
  for run in runs:
    run()  # Compiles.
  seconds = [[] for _ in sizes]
  until = time.monotonic() + _SECONDS
  while len(seconds[0]) < _LEAST or time.monotonic() < until:
    for run, found in zip(runs, seconds, strict=True):
      began = time.perf_counter()
      run()
      found.append(time.perf_counter() - began)
  medians = np.median(seconds, axis=1)
  log_sizes, log_times = np.log(sizes), np.log(medians)
  slope = np.diff(log_times[-2:]) / np.diff(log_sizes[-2:])
  return {
    "part": part,
    "of": of,
    "sizes": list(sizes),
    "seconds": [float(f"{s:.4g}") for s in medians],
    "runs": len(seconds[0]),
    "exponent": round(float(np.polyfit(log_sizes, log_times, 1)[0]), 2),
    "exponent_at_the_end": round(float(slope[0]), 2),
  }


def measure_all():
  """Measures every part in a process of its own; yields what was found."""
  for part in PARTS:
    answer = subprocess.run(
      [sys.executable, __file__, part],
      stdout=subprocess.PIPE,
      check=True,
      env={
        **os.environ,
        "PYTHONPATH": str(_PACKAGE),
      },
    ).stdout
    yield json.loads(answer.splitlines()[-1])


def main():
  """Prints a line of JSON for each part."""
  if sys.argv[1:]:
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(measure(sys.argv[1])), file=answers)
  else:
    for found in measure_all():
      print(json.dumps(found), flush=True)


if __name__ == "__main__":
  main()
