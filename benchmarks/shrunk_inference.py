"""How fast is a network of which half of the inner channels were sliced out?

  pip install -e '.[onnx]'
  python benchmarks/shrunk_inference.py resnet50 --out=FILE

Channels inside of blocks go, the same share of each layer; the streams of a
residual network stay whole. Nobody trained it: what is computed is of the same
shape as of a network that was. Prints the table of `sslprune time`.
"""

import argparse
import dataclasses
import pathlib
import tempfile

import jax
import numpy as np

from sslprune_jax import config as config_lib
from sslprune_jax.config import recipes
from sslprune_jax.exchange import measuring, timing
from sslprune_jax.models import build
from sslprune_jax.pruning import channel_cuts, channels, tickets
from sslprune_jax.pruning import masks as masks_lib

_SIDES = {"resnet50": 224, "resnet18": 32}


def main():
  """Prints a table of the dense, masked, shrunk and int8 network."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("network", choices=_SIDES)
  parser.add_argument("--share", type=float, default=0.5, help="that is cut")
  parser.add_argument("--batch", type=int, default=1)
  parser.add_argument("--threads", type=int, default=1)
  parser.add_argument("--out", help="ticket to keep")
  flags = parser.parse_args()
  jax.config.update("jax_platforms", "cpu")
  ticket = _cut(_draw(flags.network), flags.share)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(flags.out or f"{folder}/ticket.npz")
    tickets.save(path, ticket)
    engines = ["onnxruntime", "xla"]
    lines = measuring.time_ticket(path, engines, [flags.batch], [flags.threads])
  name = f"{flags.network}, {100 * flags.share:g} % of inner channels cut"
  print("\n".join(timing.tabulate(name, lines)))


def _draw(name):
  """Returns a dense ticket of random weights."""
  config = recipes.study("labels", "imagenet2012")
  config.model.name = name
  side = _SIDES[name]
  images = np.zeros((1, side, side, 3), np.float32)
  network = build(name, 1000)
  drawn = jax.device_get(network.init(jax.random.key(0), images, train=False))
  meta = {"image_shape": [side, side, 3], "config": config_lib.resolve(config)}
  return tickets.Ticket(masks_lib.dense(drawn["params"]), meta=meta, **drawn)


def _cut(ticket, share):
  """Cuts a share of the channels of every group inside of blocks."""
  groups = channels.of_network(
    ticket.network(), ticket.variables, ticket.image_shape
  ).groups
  inner = [group for group in groups if not group.is_stream]
  kept = [np.arange(g.size) >= round(share * g.size) for g in inner]
  masks = channel_cuts.widen(ticket.masks, ticket.params, inner)
  masks = channel_cuts.cut(masks, inner, kept)
  params = jax.device_get(masks_lib.apply(masks, ticket.params))
  return dataclasses.replace(ticket, masks=masks, params=params)


if __name__ == "__main__":
  main()
