"""How fast is a ResNet under a mask of weights, by products of sparse matrices?

  python benchmarks/sparse_inference.py TICKET [TICKET ...] --out=FILE
  python benchmarks/sparse_inference.py TICKET --densities 0.1 0.02

An experiment: nothing of the package computes so. Convolutions of the blocks
are products of a sparse matrix (`jax.experimental.sparse.BCSR`) with what their
windows see, batch norm is folded into them; the stem stays dense. Each ticket
is timed beside its dense network by XLA, by turns in one process: with none of
these layers sparse, but computed alike (`none`), with all (`all`), with those
alone that were faster so when timed alone, once (`rule`), and with masks at
random of the same density in every layer (`uniform`). Outputs are held against
the dense network's. With two threads a batch is split over two CPU devices,
where it can be.

With `--densities` a ticket's weights of least magnitude go first, of all layers
together, until each of these shares is left. What was found: docs/sparse.md.
"""

import argparse
import functools
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sparse_layers
import sparse_resnet

from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import UserError

SIDES = {"resnet50": 224, "resnet18": 32}  # of the images that are timed
_TOLERANCE = 1e-5  # of the largest logit
_TURNS, _SECONDS = 5, 0.2  # of each, at least


def take_turns(
  calls: dict[str, Callable[[], Any]],
) -> dict[str, dict[str, float]]:
  """Times calls by turns.

  Args:
    calls: functions by name, each compiled.

  Returns:
    Name -> `seconds`, the median of a call, its quartiles `lower` and `upper`,
    and `processor_seconds`, the median over turns of a call's.
  """
  found = {name: ([], []) for name in calls}
  for _ in range(_TURNS):
    for name, call in calls.items():
      seconds, processors = found[name]
      call()
      used, began = time.process_time(), time.perf_counter()
      count, end = 0, began + _SECONDS
      while count < 2 or began < end:
        call()
        now = time.perf_counter()
        seconds.append(now - began)
        began, count = now, count + 1
      processors.append((time.process_time() - used) / count)
  lines = {}
  for name, (seconds, processors) in found.items():
    lower, median, upper = statistics.quantiles(
      seconds, n=4, method="inclusive"
    )
    lines[name] = {
      "seconds": median,
      "lower": lower,
      "upper": upper,
      "processor_seconds": statistics.median(processors),
    }
  return lines


def measure(
  ticket: tickets.Ticket, batch: int, threads: int, side: int = 0
) -> dict[str, Any]:
  """Times a ticket beside its dense network.

  Args:
    ticket: ticket of a ResNet.
    batch: images.
    threads: threads.
    side: side of the images; 0: of `SIDES`.

  Returns:
    What was found of each network, and of the layers.

  Raises:
    UserError: no ResNet that is known here, or outputs that differ.
  """
  name = ticket.section("model", "name")["name"]
  if name not in SIDES:
    raise UserError(f"ticket: found {name}, expected one of {list(SIDES)}")
  side = side or SIDES[name]
  shape = (batch, side, side, ticket.image_shape[-1])
  images = np.random.default_rng(1).standard_normal(shape, np.float32)
  dense = _compile_dense(ticket.network())
  layers = sparse_resnet.fold(ticket)
  blocks = list(layers)[1:]
  alone = sparse_layers.time_alone(layers, shape, threads)
  chosen = sparse_layers.list_faster(alone)
  densities = {n: float((layers[n].kernel != 0).mean()) for n in blocks}
  sizes = {n: layers[n].kernel.size for n in blocks}
  density = sum(densities[n] * sizes[n] for n in blocks) / sum(sizes.values())
  uniform = sparse_resnet.draw_uniform(ticket, density)
  calls = {"dense": _bind(dense, ticket.variables, jnp.asarray(images))}
  errors = {}
  for which, of, are_sparse in (
    ("none", ticket, ()), ("all", ticket, blocks), ("rule", ticket, chosen),
    ("uniform", uniform, blocks),
  ):  # fmt: skip
    forward, weights = sparse_resnet.make_forward(
      sparse_resnet.fold(of), of.params["head"], are_sparse
    )
    run = sparse_layers.compile_for(forward, batch, threads)
    calls[which] = _bind(
      run, *sparse_layers.place(weights, images, batch, threads)
    )
    expected = np.asarray(dense(of.variables, images))
    errors[which] = _compare(which, np.asarray(calls[which]()), expected)
  return {
    "network": name,
    "shape": shape,
    "threads": threads,
    "density": density,
    "densities": densities,
    "chosen": chosen,
    "alone": alone,
    "errors": errors,
    "times": take_turns(calls),
    "load": os.getloadavg()[0],
  }


@functools.cache  # All tickets of a network are of one program.
def _compile_dense(network):
  return jax.jit(lambda v, x: network.apply(v, x, train=False)["logits"])


def _bind(run, weights, images):
  weights, images = jax.tree.map(jnp.asarray, (weights, images))
  return lambda: jax.block_until_ready(run(weights, images))


def _compare(which, found, expected):
  error = float(np.abs(found - expected).max() / np.abs(expected).max())
  if not error <= _TOLERANCE:
    raise UserError(
      f"{which}: found logits that differ by {error:.1e} of the largest from "
      f"the dense network's, expected at most {_TOLERANCE}"
    )
  return error


def tabulate(lines: Sequence[dict[str, Any]]) -> list[str]:
  """Writes lines of `measure` as a table in Markdown, ratios to dense."""
  rows = [
    "| network | batch | threads | remain | sparse by the rule | dense, ms "
    "| none | all | rule | uniform "
    "| processor time: none | all | rule | uniform | load |",
    "|" + "---|" * 15,
  ]
  for line in lines:
    times = line["times"]
    ratios = [
      f"{times[which][of] / times['dense'][of]:.2f}"
      for of in ("seconds", "processor_seconds")
      for which in ("none", "all", "rule", "uniform")
    ]
    cells = [
      line["network"], str(line["shape"][0]), str(line["threads"]),
      f"{100 * line['density']:.1f} %",
      f"{len(line['chosen'])} of {len(line['alone'])}",
      f"{1000 * times['dense']['seconds']:.3g}", *ratios,
      f"{line['load']:.1f}",
    ]  # fmt: skip
    rows.append(f"| {' | '.join(cells)} |")
  return rows


def main():
  """Prints a table, and appends its lines to a file."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("tickets", nargs="+", metavar="TICKET")
  parser.add_argument("--densities", type=float, nargs="+", help="to cut to")
  parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
  parser.add_argument("--threads", type=int, default=1)
  parser.add_argument("--out", help="file of JSON lines to append to")
  flags = parser.parse_args()
  cores = sorted(os.sched_getaffinity(0))[: flags.threads]
  os.sched_setaffinity(0, cores)  # Before XLA starts as many threads.
  jax.config.update("jax_platforms", "cpu")
  jax.config.update("jax_num_cpu_devices", flags.threads)
  lines = []
  for path in flags.tickets:
    whole = tickets.load(path)
    cut = [sparse_resnet.cut(whole, d) for d in flags.densities or ()]
    for ticket, batch in itertools.product(cut or [whole], flags.batch):
      lines.append(measure(ticket, batch, flags.threads))
      print(tabulate(lines[-1:])[-1], flush=True)
      if flags.out:
        with open(flags.out, "a") as file:
          print(json.dumps(lines[-1]), file=file)
  print("\n".join(tabulate(lines)))


if __name__ == "__main__":
  main()
