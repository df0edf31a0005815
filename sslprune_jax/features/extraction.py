"""Features of a whole set, which stay on the devices, split over them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.models import readout
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.trees import Tree


def make_step(
  network: Any,
  normalise: Callable[[jax.Array], jax.Array],
  layer: str = "features",
) -> Callable:
  """Makes the features of one batch, over all devices.

  Args:
    network: from `models.build`.
    normalise: of the task.
    layer: see `models.readout`; by default the penultimate one.

  Returns:
    `(variables, batch) -> f32[D,B,F]`. Batch norm uses its running statistics
    and leaves them alone.
  """

  def step(variables, batch):
    image = normalise(batch["image"])
    return readout(network.apply(variables, image, train=False), layer)

  return devices.pmapped(step, out_axes=0)


def extract(
  step: Callable,
  variables: dict[str, Tree],
  feed: data.Batches,
  shards: int,
  on_batch: Callable[[data.batches.Batch], None] = lambda batch: None,
) -> tuple[jax.Array, np.ndarray]:
  """Extracts the features of a set into shards for `clustering`.

  Which image lies in which shard depends on the batch size, not on the number
  of devices.

  Args:
    step: from `make_step`.
    variables: replicated `{"params", "batch_stats"}`.
    feed: of the N images; its batch size is a multiple of `shards`.
    shards: a multiple of the number of devices.
    on_batch: called with each batch, in order, while its features are made.

  Returns:
    Features f32[shards,R,F], sharded, and the image i32[shards,R] that each is
    of; N where it is padding.
  """
  size, batch_size = len(feed.source), feed.batch_size
  count = -(-size // batch_size)
  buffer = None
  for number, batch in enumerate(feed.evaluate()):
    features = step(variables, batch)
    on_batch(batch)
    if buffer is None:
      rows = count * batch_size // shards
      shape = (shards, rows, features.shape[-1])
      buffer = jnp.zeros(shape, features.dtype, device=devices.split())
    buffer = _write(buffer, devices.joined(features), number)
  image = np.arange(count * batch_size).reshape(count, shards, -1)
  image = np.minimum(image.swapaxes(0, 1).reshape(shards, -1), size)
  return buffer, image.astype(np.int32)


@functools.partial(jax.jit, donate_argnums=0)
def _write(buffer: jax.Array, features: jax.Array, number: int) -> jax.Array:
  """Writes a batch of features into its place of every shard."""

  def write(buffer, features, number):
    rows = features.reshape(buffer.shape[0], -1, buffer.shape[-1])
    place = (0, number * rows.shape[1], 0)
    return jax.lax.dynamic_update_slice(buffer, rows, place)

  specs = (devices.ROWS, devices.ROWS, devices.SAME)
  return devices.over_shards(write, specs, devices.ROWS)(
    buffer, features, number
  )
