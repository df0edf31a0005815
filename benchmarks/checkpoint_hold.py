"""How long a checkpoint of a ResNet-50's training holds the loop.

  python benchmarks/checkpoint_hold.py   # on the CPU, half a minute

Printed are medians of milliseconds: in which `save` returns to the loop, which
the devices take for the copy that it asks for, and in which all is on disk.
"""

import contextlib
import json
import os
import statistics
import time

import jax
from cases import checkpoints

from sslprune_jax.runtime import environment
from sslprune_jax.training import saved

_TURNS = 15


def main():
  """Prints a line of JSON."""
  environment.prepare()
  case = checkpoints.Ours(restores=False)
  jax.block_until_ready(saved.copy(case.state))  # Compiles it.
  seconds = {"save": [], "copy": [], "on_disk": []}
  with contextlib.closing(case.checkpoints):
    for turn in range(1, _TURNS + 1):
      began = time.perf_counter()
      case.checkpoints.save(turn, case.state)
      seconds["save"].append(time.perf_counter() - began)
      case.checkpoints.wait()
      seconds["on_disk"].append(time.perf_counter() - began)
      began = time.perf_counter()
      jax.block_until_ready(saved.copy(case.state))
      seconds["copy"].append(time.perf_counter() - began)
  medians = {
    f"{name}_ms": round(1e3 * statistics.median(of), 1)
    for name, of in seconds.items()
  }
  print(json.dumps(medians | {"load": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
  main()
