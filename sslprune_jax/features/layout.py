"""How points lie on the devices, and how they are read and added."""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.runtime import devices as devices_lib

_SHARDS = 8
# Rows of a block, and the most that they are compared with: 17 MB of scores.
_BLOCK, _COMPARED = 1024, 2**22


def shards() -> int:
  """Returns the number of shards S: 8 where the devices divide it.

  Otherwise a shard a device.
  """
  devices = jax.device_count()
  return devices if _SHARDS % devices else _SHARDS


def lay_out(points: np.ndarray) -> tuple[jax.Array, jax.Array]:
  """Splits points over the devices.

  Args:
    points: f32[N,D].

  Returns:
    f32[S,R,D] and `weight` f32[S,R].
  """
  chex.assert_rank(points, 2, custom_message="points")
  size, count = len(points), shards()
  rows = -(-size // count)
  points = np.asarray(points, np.float32)
  points = np.pad(points, ((0, rows * count - size), (0, 0)))
  weight = (np.arange(rows * count) < size).astype(np.float32)
  return jax.device_put(
    (points.reshape(count, rows, -1), weight.reshape(count, rows)),
    devices_lib.split(),
  )


def flat(assignment: jax.Array, size: int) -> np.ndarray:
  """Returns i32[N] from i32[S,R], in the order that `lay_out` was given."""
  chex.assert_rank(assignment, 2, custom_message="assignment")
  return devices_lib.on_host(assignment).reshape(-1)[:size]


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
  """Multiplies f32[A,B] or f32[B] with f32[B,C], in full float32 on a TPU."""
  chex.assert_rank([a, b], [{1, 2}, 2], custom_message="a, b")
  return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def sum_shards(of_shard: Callable, shards: Any) -> tuple[Any, Any]:
  """Adds over the shards of all devices, in their order.

  Args:
    of_shard: function from a shard to what is added, and what is kept of each.
    shards: leaves `[S / D, ...]`, this device's.

  Returns:
    The sums, the same on all devices, and leaves `[S / D, ...]`.
  """
  if jax.device_count() > 1:
    parts, kept = jax.lax.map(of_shard, shards)
    parts = devices_lib.all_gather(parts)
    return jax.tree.map(lambda x: functools.reduce(jnp.add, x), parts), kept

  def add(total, shard):
    part, kept = of_shard(shard)
    # Without it XLA adds the rows of a shard to the total, in another order.
    part = jax.lax.optimization_barrier(part)
    return jax.tree.map(jnp.add, total, part), kept

  # The same additions, without a sum for every shard in memory.
  like, _ = jax.eval_shape(of_shard, jax.tree.map(lambda x: x[0], shards))
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
  return jax.lax.scan(add, zeros, shards)


def blocks(rows: int, against: int) -> tuple[int, int]:
  """Divides a shard into blocks.

  Args:
    rows: number of rows of the shard.
    against: number of things that each row is compared with.

  Returns:
    The number of blocks, and the rows of each.
  """
  count = -(-rows // max(1, min(_BLOCK, _COMPARED // against)))
  return count, -(-rows // count)


def read(
  number: jax.Array, size: int, rows: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Reads a block; the last one overlaps the one before, with weight 0.

  Args:
    number: number of the block, i32[].
    size: rows of a block, B.
    rows: f32[R,D], a shard.
    weight: f32[R], 0 on padding.

  Returns:
    Its first row i32[], its rows f32[B,D] and their weight f32[B].
  """
  chex.assert_rank([rows, weight], [2, 1], custom_message="rows, weight")
  chex.assert_equal_shape_prefix([rows, weight], 1)
  start = jnp.minimum(number * size, len(rows) - size)
  again = start + jnp.arange(size) < number * size
  block = jax.lax.dynamic_slice_in_dim(rows, start, size)
  of_block = jax.lax.dynamic_slice_in_dim(weight, start, size)
  return start, block, jnp.where(again, 0, of_block)
