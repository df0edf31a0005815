"""What it costs to look for weights that are not finite.

  python benchmarks/finite_checks.py   # on the CPU, 2 minutes

Updates and looks at what an update leaves are taken by turns; a look falls to
every `config.log.every` updates. Printed are medians, and the share of a look
in what the updates before it take.
"""

import json
import statistics
import time

import jax
from cases import steps

from sslprune_jax.config import every_field
from sslprune_jax.runtime import environment, trees
from sslprune_jax.training import loop

_TURNS = 60


def _time(work):
  began = time.perf_counter()
  jax.block_until_ready(work())
  return time.perf_counter() - began


def measure(name, **how):
  """Prints what the updates of a network take, and a look at its state."""
  ours, seconds = steps.Ours(name, **how), ([], [])
  for turn in range(_TURNS + 2):
    update = _time(ours.run)
    look = _time(lambda: trees.are_finite(loop._held(ours.state)))
    if turn >= 2:  # Compiled by then.
      seconds[0].append(update)
      seconds[1].append(look)
  update, look = map(statistics.median, seconds)
  every = int(every_field()["log.every"].default.removesuffix("it"))
  print(
    json.dumps(
      {"network": name, **how}
      | {"update_ms": round(1e3 * update, 2), "look_ms": round(1e3 * look, 2)}
      | {"updates_a_look": every, "share": round(look / (every * update), 5)}
    ),
    flush=True,
  )


if __name__ == "__main__":
  environment.prepare()
  for network, kind in (
    ("convnet", {"width": 0.25, "batch": 64}),
    ("convnet", {}),
    ("resnet18", {"batch": 32}),
  ):
    measure(network, **kind)
