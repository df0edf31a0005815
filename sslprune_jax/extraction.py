"""Features of a whole set, which stay on the devices, split over them."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from sslprune_jax import parallel
from sslprune_jax.tasks.base import Batch
from sslprune_jax.trees import Tree

_ROWS = PartitionSpec(parallel.AXIS)


def make_step(
  network: Any, normalise: Callable[[jax.Array], jax.Array]
) -> Callable:
  """Makes the features of one batch, over all devices.

  Args:
    network: from `models.build`.
    normalise: of the task.

  Returns:
    `(variables, batch) -> f32[D,B,F]`, of the penultimate layer. Batch norm
    uses its running statistics and leaves them alone.
  """

  def step(variables, batch):
    image = normalise(batch["image"])
    return network.apply(variables, image, train=False)["features"]

  return parallel.pmapped(step, out_axes=0)


def extract(
  step: Callable,
  variables: dict[str, Tree],
  batches: Iterable[Batch],
  *,
  num_images: int,
  batch_size: int,
  shards: int,
) -> tuple[jax.Array, np.ndarray]:
  """Extracts the features of a set into shards for `clustering`.

  Which image lies in which shard depends on the batch size, not on the number
  of devices.

  Args:
    step: from `make_step`.
    variables: replicated `{"params", "batch_stats"}`.
    batches: every image once, in order, the last batch padded.
    num_images: N.
    batch_size: of the batches, over all devices; a multiple of `shards`.
    shards: a multiple of the number of devices.

  Returns:
    Features f32[shards,R,F], sharded, and the image i32[shards,R] that each is
    of; N where it is padding.
  """
  count = -(-num_images // batch_size)
  buffer = None
  for number, batch in enumerate(batches):
    features = step(variables, batch)
    if buffer is None:
      rows = count * batch_size // shards
      shape = (shards, rows, features.shape[-1])
      buffer = jnp.zeros(shape, features.dtype, device=parallel.split())
    buffer = _write(buffer, features, number)
  image = np.arange(count * batch_size).reshape(count, shards, -1)
  image = np.minimum(image.swapaxes(0, 1).reshape(shards, -1), num_images)
  return buffer, image.astype(np.int32)


@functools.partial(jax.jit, donate_argnums=0)
def _write(buffer: jax.Array, features: jax.Array, number: int) -> jax.Array:
  """Writes a batch of features into its place of every shard."""

  def write(buffer, features, number):
    rows = features.reshape(buffer.shape[0], -1, buffer.shape[-1])
    place = (0, number * rows.shape[1], 0)
    return jax.lax.dynamic_update_slice(buffer, rows, place)

  return jax.shard_map(
    write,
    mesh=parallel.split().mesh,
    in_specs=(_ROWS, _ROWS, PartitionSpec()),
    out_specs=_ROWS,
  )(buffer, features, number)
