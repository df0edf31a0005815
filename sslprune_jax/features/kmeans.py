"""k-means by Lloyd's algorithm, and where it starts."""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.features import layout
from sslprune_jax.runtime import devices, samples

_STEP = 0.01  # of the root mean square distance to a centroid


class Clusters(NamedTuple):
  """What k-means found.

  Attributes:
    centroids: f32[k,D].
    assignment: i32[S,R], split over the devices; of no meaning on padding.
    sizes: i32[k], points of each cluster.
    inertia: f64[iterations + 1], the sum of squared distances to the centroids
      before each update and at the end.
  """

  centroids: jax.Array
  assignment: jax.Array
  sizes: jax.Array
  inertia: np.ndarray


def kmeans(
  points: jax.Array,
  weight: jax.Array,
  k: int,
  key: jax.Array,
  *,
  iterations: int = 20,
  start: str | jax.Array = "random",
  dtype: Any = jnp.float32,
) -> Clusters:
  """Clusters points by Lloyd's algorithm.

  A cluster that lost its points takes a place beside the centroid of a large
  one, which stays: so inertia never rises, but for rounding.

  Args:
    points: f32[S,R,D], split over the devices.
    weight: f32[S,R], 0 on padding.
    k: number of clusters.
    key: key of the start and of what replaces empty clusters.
    iterations: number of updates of the centroids.
    start: "random" points, "k-means++", or centroids f32[k,D].
    dtype: dtype in which points and centroids are compared. In bfloat16 a point
      between two centroids may go to the farther one. Sums and inertia are
      float32.

  Returns:
    The clusters.

  Raises:
    ValueError: there are fewer points than clusters, some points or some of
      `start` are not finite, or that has another shape.
  """
  chex.assert_rank([points, weight], [3, 2], custom_message="points, weight")
  chex.assert_equal_shape_prefix([points, weight], 2)
  real = np.flatnonzero(devices.on_host(weight).reshape(-1) > 0)
  if not 1 <= k <= len(real):
    raise ValueError(
      f"k: found {k} clusters, expected 1 to {len(real)}, the number of points"
    )
  of_start, of_repair = jax.random.split(key)
  centroids = _first_centroids(points, weight, real, k, of_start, start)
  inertia = []
  for i in range(iterations + 1):
    sums, sizes, found, assignment = _assign(
      points, weight, centroids, jnp.dtype(dtype)
    )
    # Awaited: see `devices.updates_in_flight`.
    inertia.append(float(found))
    if not np.isfinite(inertia[-1]):
      raise ValueError(
        "points: found values that are not finite, expected finite ones"
      )
    if i < iterations:
      key = jax.random.fold_in(of_repair, i)
      centroids = _update(centroids, sums, sizes, found, key)
  return Clusters(centroids, assignment, sizes, np.array(inertia))


def _first_centroids(points, weight, real, k, key, start):
  """Returns the centroids f32[k,D] that k-means starts from.

  Args:
    points: f32[S,R,D].
    weight: f32[S,R].
    real: i64[N], rows that are no padding, counted over all shards.
    k: number of clusters.
    key: key of what is drawn.
    start: a way to begin, or centroids; see `kmeans`.
  """
  if not isinstance(start, str):
    centroids = jnp.asarray(start, jnp.float32)
    if centroids.shape != (k, points.shape[-1]):
      raise ValueError(
        f"start: found centroids of shape {centroids.shape}, expected "
        f"{(k, points.shape[-1])}"
      )
    if not np.isfinite(start).all():
      raise ValueError(
        "start: found values that are not finite, expected finite ones"
      )
    return centroids
  if start == "random":
    chosen = jax.random.permutation(key, len(real))[:k]
    return _rows(points, jnp.asarray(real, jnp.int32)[chosen])
  if start == "k-means++":
    return _plus_plus(points, weight, key, k)
  raise ValueError(
    f"start: found {start!r}, expected 'random', 'k-means++' or an array"
  )


@functools.partial(jax.jit, static_argnums=3)
def _assign(
  points: jax.Array, weight: jax.Array, centroids: jax.Array, dtype: Any
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Puts every point into the cluster of the nearest centroid.

  Returns:
    Sums f32[k,D] and sizes i32[k] of the clusters, inertia f32[], and the
    assignment i32[S,R].
  """

  def of_shard(shard, centroids):
    rows, weight = shard
    count, size = layout.blocks(len(rows), len(centroids))
    half_square = jnp.sum(centroids * centroids, axis=1) / 2
    compared = centroids.astype(dtype)

    def add(carry, number):
      sums, sizes, inertia, assignment = carry
      start, block, of_block = layout.read(number, size, rows, weight)
      nearness = jax.lax.dot_general(
        block.astype(dtype),
        compared,
        (((1,), (1,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
      )
      nearness = nearness - half_square[None]
      # The least index that reaches the maximum: on a CPU faster than argmax.
      best = nearness.max(axis=1, keepdims=True)
      index = jnp.arange(len(centroids), dtype=jnp.int32)[None]
      nearest = jnp.where(nearness == best, index, len(centroids)).min(axis=1)
      distance = jnp.sum((block - centroids[nearest]) ** 2, axis=1)
      # Rows of NaN equal no maximum: one past the end, and dropped.
      return (
        sums.at[nearest].add(block * of_block[:, None]),
        sizes.at[nearest].add(of_block.astype(jnp.int32)),
        inertia + jnp.sum(jnp.where(of_block > 0, distance, 0)),
        jax.lax.dynamic_update_slice_in_dim(assignment, nearest, start, 0),
      ), None

    empty = (
      jnp.zeros_like(centroids),
      jnp.zeros(len(centroids), jnp.int32),
      jnp.float32(0),
      jnp.zeros(len(rows), jnp.int32),
    )
    *sums, assignment = jax.lax.scan(add, empty, jnp.arange(count))[0]
    return tuple(sums), assignment

  def of_device(points, weight, centroids):
    sums, assignment = layout.sum_shards(
      lambda shard: of_shard(shard, centroids), (points, weight)
    )
    return *sums, assignment

  return devices.over_shards(
    of_device,
    (devices.ROWS, devices.ROWS, devices.SAME),
    (devices.SAME, devices.SAME, devices.SAME, devices.ROWS),
  )(points, weight, centroids)


@jax.jit
def _update(
  centroids: jax.Array,
  sums: jax.Array,
  sizes: jax.Array,
  inertia: jax.Array,
  key: jax.Array,
) -> jax.Array:
  """Moves centroids to the means of their clusters, and refills empty ones."""
  empty = sizes == 0
  means = sums / jnp.maximum(sizes, 1)[:, None]
  # The first empty cluster splits the largest one, the second the next.
  by_size = jnp.argsort(-sizes, stable=True)
  number = jnp.cumsum(empty) - 1
  donor = by_size[number % jnp.sum(~empty)]
  # In float32, as there may be more values than an int32 counts.
  values = jnp.sum(sizes).astype(jnp.float32) * centroids.shape[1]
  spread = jnp.sqrt(inertia / values)
  step = (
    _STEP * spread * jax.random.rademacher(key, centroids.shape, jnp.float32)
  )
  return jnp.where(empty[:, None], means[donor] + step, means)


@jax.jit
def _rows(points: jax.Array, index: jax.Array) -> jax.Array:
  """Returns some rows f32[M,D], counted over all shards."""

  def of_device(points, index):
    return samples.look_up(points.reshape(-1, points.shape[-1]), index)

  return devices.over_shards(
    of_device, (devices.ROWS, devices.SAME), devices.SAME
  )(points, index)


@functools.partial(jax.jit, static_argnums=3)
def _plus_plus(
  points: jax.Array, weight: jax.Array, key: jax.Array, k: int
) -> jax.Array:
  """Draws centroids, each in proportion to the squared distance to the others.

  Reference: Arthur & Vassilvitskii 2007, k-means++.
  """

  def of_device(points, weight):
    rows = points.reshape(-1, points.shape[-1])
    weight = weight.reshape(-1)

    def draw(i, carry):
      centroids, distance = carry
      share = devices.all_gather(distance)
      # Where all points are drawn already, any of them.
      share = jnp.where(share.sum() > 0, share, devices.all_gather(weight))
      until = jnp.cumsum(share)
      at = jax.random.uniform(jax.random.fold_in(key, i)) * until[-1]
      chosen = jnp.argmax(until > at)
      centroid = samples.look_up(rows, chosen[None])
      centroids = jax.lax.dynamic_update_slice_in_dim(centroids, centroid, i, 0)
      found = jnp.sum((rows - centroid) ** 2, axis=1) * weight
      return centroids, jnp.where(i > 0, jnp.minimum(distance, found), found)

    centroids = jnp.zeros((k, rows.shape[1]))
    return jax.lax.fori_loop(0, k, draw, (centroids, weight))[0]

  return devices.over_shards(
    of_device, (devices.ROWS, devices.ROWS), devices.SAME
  )(points, weight)
