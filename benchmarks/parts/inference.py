"""How long does a ticket's network take to answer, by the size of the batch?"""

import functools
import math

import jax
import numpy as np
from cases import step_sides

from parts import speed
from sslprune_jax import config as config_lib
from sslprune_jax import data
from sslprune_jax.config import recipes
from sslprune_jax.pruning import masks
from sslprune_jax.pruning.tickets import Ticket

_BATCHES = (1, 32, 256)
_IMAGES = 2000  # that are timed together, at least two batches


def items(short):
  """Returns what is timed by name; in short form of narrow networks."""
  return {
    f"{name}, {kind}": functools.partial(_time, name, kind, short)
    for name in ("resnet50", "resnet18")
    for kind in ("dense", "masked")
  }


def _time(name, kind, short, seconds):
  del seconds
  ticket = _drawn(name, kind == "masked", short)
  batches = (1, 4) if short else _BATCHES
  images = 8 if short else _IMAGES
  return {str(batch): time_ticket(ticket, batch, images) for batch in batches}


def _drawn(name, masked, short):
  """Returns a ticket of a network that nobody trained."""
  config = recipes.study("labels", "imagenet2012")
  side, width = (64, 0.25) if short else (step_sides.SHAPES[name][0], 1.0)
  config.model.update(name=name, width=width)
  shape = (side, side, 3)
  _, variables = step_sides.variables_of(name, shape, width=width)
  kept = masks.dense(variables["params"])
  if masked:
    kept = step_sides.half(variables["params"])
    variables["params"] = masks.apply(kept, variables["params"])
  meta = {"image_shape": [*shape], "config": config_lib.resolve(config)}
  return Ticket(kept, meta=meta, **jax.device_get(variables))


def time_ticket(ticket, batch, images):
  """Times a network on bytes that lie on one device, batch after batch.

  Args:
    ticket: any ticket with a linear head.
    batch: images a batch.
    images: number of images that are timed together, roughly.

  Returns:
    JSON values, as of `speed.rates`.
  """
  network, dataset = ticket.network(), ticket.section("dataset", "mean", "std")

  @jax.jit
  def answer(variables, images):
    images = data.normalise(images, dataset["mean"], dataset["std"])
    return network.apply(variables, images, train=False)["logits"]

  pixels = np.random.default_rng(0).integers(
    0, 256, (batch, *ticket.meta["image_shape"]), np.uint8
  )
  variables, pixels = jax.device_put((ticket.variables, pixels))
  count = max(2, math.ceil(images / batch))
  found = speed.time_updates(
    lambda: answer(variables, pixels), jax.block_until_ready, count
  )
  return speed.rates(found, batch)
