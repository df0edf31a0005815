"""PCA with whitening."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.features import layout
from sslprune_jax.runtime import devices, processes

# Directions with less hold nothing but rounding: of the largest variance, and,
# as standard deviation, of the length of the mean. The same image at two places
# of a batch may have features some units in the last place apart.
_LEAST_VARIANCE = 1e-6
_LEAST_DEVIATION = 1e-6


class Projection(NamedTuple):
  """A PCA with whitening: `(x - mean) @ matrix`.

  Attributes:
    mean: f32[F].
    matrix: f32[F,D].
  """

  mean: jax.Array
  matrix: jax.Array


def fit_pca(points: jax.Array, weight: jax.Array, dims: int) -> Projection:
  """Finds the directions of largest variance, scaled to a variance of 1.

  Args:
    points: f32[S,R,F], split over the devices.
    weight: f32[S,R], 0 on padding.
    dims: number of directions D to keep.

  Returns:
    The projection; directions without variance are mapped to 0.

  Raises:
    ValueError: there are fewer features, or points, than `dims`, or some
      points are not finite.
  """
  chex.assert_rank([points, weight], [3, 2], custom_message="points, weight")
  chex.assert_equal_shape_prefix([points, weight], 2)
  size, width = int(devices.on_host(weight).sum()), points.shape[-1]
  if not 1 <= dims <= min(width, size):
    raise ValueError(
      f"dims: found {dims}, expected 1 to {min(width, size)}, the smaller of "
      f"the {width} features and the {size} points"
    )
  mean = _sum(points, weight) / size
  covariance = np.asarray(_covariance(points, weight, mean), np.float64)
  if not np.isfinite(covariance).all():
    raise ValueError(
      "points: found values that are not finite, expected finite ones"
    )
  # On the host: float64, and small beside the rest. On one, as another kind of
  # processor may round another way.
  variance, directions = processes.from_first(
    lambda: np.linalg.eigh(covariance)
  )
  variance = variance[::-1][:dims] / max(size - 1, 1)
  directions = directions[:, ::-1][:, :dims]
  # An eigenvector's sign is arbitrary: its largest entry is made positive.
  largest = np.abs(directions).argmax(axis=0)
  directions = directions * np.sign(directions[largest, np.arange(dims)])
  length = np.linalg.norm(np.asarray(mean, np.float64))
  some = variance > max(
    _LEAST_VARIANCE * variance[0], (_LEAST_DEVIATION * length) ** 2
  )
  scale = np.where(some, 1 / np.sqrt(np.where(some, variance, 1)), 0)
  return Projection(mean, jnp.asarray(directions * scale, jnp.float32))


@jax.jit
def project(points: jax.Array, projection: Projection) -> jax.Array:
  """Projects points and scales them to length 1.

  Args:
    points: f32[S,R,F], split over the devices.
    projection: means and directions from `fit_pca`.

  Returns:
    f32[S,R,D], split like the points; what is projected to 0 stays 0.
  """
  chex.assert_rank(
    [points, projection.mean, projection.matrix],
    [3, 1, 2],
    custom_message="points, projection.mean, projection.matrix",
  )

  def of_shard(shard, mean, matrix):
    found = layout.dot(shard, matrix) - layout.dot(mean, matrix)[None]
    square = jnp.sum(found * found, axis=1, keepdims=True)
    return found * jax.lax.rsqrt(jnp.maximum(square, 1e-24))

  return devices.over_shards(
    lambda x, *p: jax.lax.map(lambda shard: of_shard(shard, *p), x),
    (devices.ROWS, devices.SAME, devices.SAME),
    devices.ROWS,
  )(points, *projection)


@jax.jit
def _sum(points: jax.Array, weight: jax.Array) -> jax.Array:
  """Returns the sum f32[D] of the points."""

  def of_shard(shard):
    rows, weight = shard
    return jnp.sum(rows * weight[:, None], axis=0), None

  def of_device(points, weight):
    return layout.sum_shards(of_shard, (points, weight))[0]

  return devices.over_shards(
    of_device, (devices.ROWS, devices.ROWS), devices.SAME
  )(points, weight)


@jax.jit
def _covariance(
  points: jax.Array, weight: jax.Array, mean: jax.Array
) -> jax.Array:
  """Returns the sum f32[D,D] of the outer products about the mean."""

  def of_shard(shard):
    rows, weight = shard
    count, size = layout.blocks(*rows.shape)

    def add(total, number):
      _, block, of_block = layout.read(number, size, rows, weight)
      block = (block - mean[None]) * of_block[:, None]
      return total + layout.dot(block.T, block), None

    total = jnp.zeros((rows.shape[1],) * 2)
    return jax.lax.scan(add, total, jnp.arange(count))

  def of_device(points, weight):
    return layout.sum_shards(of_shard, (points, weight))[0]

  return devices.over_shards(
    of_device, (devices.ROWS, devices.ROWS), devices.SAME
  )(points, weight)
