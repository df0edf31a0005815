"""Which weights training drove to zero, from a study of configs/image_size.py.

  python benchmarks/padding_weights.py runs/image_size

Counts, of each dense network, the weights that are zero at machine precision
and those that multiply nothing but padding: no image changes what they add.
Writes docs/padding_weights.jsonl, and prints the table of docs/results.md.
"""

import argparse
import collections
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import tickets
from sslprune_jax.pruning import sparsity
from sslprune_jax.runtime.trees import named_leaves
from sslprune_jax.study import provenance

LINES = pathlib.Path(__file__).parent.parent / "docs/padding_weights.jsonl"
_IMAGES = 16  # drawn, of all values, to see which weights they reach


def main():
  """Counts, keeps the lines and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("workdir", type=pathlib.Path)
  lines = []
  for about in sorted(parser.parse_args().workdir.glob("*/config.json")):
    network, _, pixels = about.parent.name.partition("_")
    commit, reached = provenance.read(about)["commit"], None
    for path in sorted(about.parent.glob("seed_*/labels/round_00/trained.npz")):
      ticket = tickets.load(path)
      reached = reached or find_reached(ticket, int(pixels))
      lines.append(
        {
          "network": network,
          "pixels": int(pixels),
          "seed": int(path.parents[2].name.removeprefix("seed_")),
          **count(ticket, reached),
          "commit": commit,
        }
      )
  lines.sort(key=lambda line: (line["network"], line["pixels"], line["seed"]))
  LINES.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
  print(tabulate(lines))


def count(
  ticket: tickets.Ticket, reached: dict[str, np.ndarray]
) -> dict[str, int]:
  """Counts prunable weights: all, on padding alone, near zero, and both.

  Args:
    ticket: a dense network.
    reached: of its kernels, from `find_reached`.
  """
  masks = named_leaves(ticket.masks)
  counts = collections.Counter()
  for name, weights in named_leaves(ticket.params).items():
    if masks[name].ndim == 0:
      continue
    padding = np.broadcast_to(~reached[name], weights.shape)
    zero = np.abs(weights) <= sparsity.MACHINE_PRECISION
    counts["prunable"] += weights.size
    counts["padding"] += int(padding.sum())
    counts["zero"] += int(zero.sum())
    counts["both"] += int((padding & zero).sum())
  return dict(counts)


def find_reached(ticket: tickets.Ticket, pixels: int) -> dict[str, np.ndarray]:
  """Finds the places of kernels, bool[h,w,1,1], whose weights see an image.

  A place that no image reaches has a gradient of 0 in all of its channels. That
  of fresh weights is asked, as those of a trained network may vanish.

  Args:
    ticket: a network of grey images.
    pixels: their side.
  """
  network = ticket.network(num_outputs=10)
  keys = jax.random.split(jax.random.key(0), 3)
  images = jax.random.normal(keys[0], (_IMAGES, pixels, pixels, 1))
  variables = network.init(keys[1], images[:1], False)

  def total(params):
    outputs, _ = network.apply(
      variables | {"params": params}, images, True, mutable=["batch_stats"]
    )
    logits = outputs["logits"]
    return (logits * jax.random.normal(keys[2], logits.shape)).sum()

  gradients = jax.jit(jax.grad(total))(variables["params"])
  return {
    name: np.asarray(jnp.any(leaf != 0, axis=(2, 3), keepdims=True))
    for name, leaf in named_leaves(gradients).items()
    if leaf.ndim == 4
  }


def tabulate(lines: list[dict]) -> str:
  """Returns the table: of each network and size, the counts of its seeds."""
  cells = collections.defaultdict(list)
  for line in lines:
    cells[line["network"], line["pixels"]].append(line)
  rows = [
    "| network | pixels | prunable weights | on padding alone "
    "| zero at machine precision | both |",
    "|---" * 6 + "|",
  ]
  for (network, pixels), of in cells.items():
    every = {
      field: ", ".join(dict.fromkeys(f"{line[field]:,}" for line in of))
      for field in ("prunable", "padding", "zero", "both")
    }
    rows.append(f"| {' | '.join((network, str(pixels), *every.values()))} |")
  return "\n".join(rows)


if __name__ == "__main__":
  main()
