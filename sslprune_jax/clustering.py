"""PCA with whitening, and k-means, of points that stay split over the devices.

Points are `f32[S,R,D]`: S shards of R rows, axis 0 over the devices, with
`weight` f32[S,R], 0 on padding and 1 elsewhere. Rows are read in blocks, so
that nothing of size N x k exists. Sums are made shard by shard and added in the
order of the shards: 1, 2, 4 and 8 devices give the same bits.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from sslprune_jax import parallel

_SHARDS = 8
_BLOCK = 1024  # rows; their scores against 10,000 centroids take 41 MB
_ROWS, _SAME = PartitionSpec(parallel.AXIS), PartitionSpec()
# Of the largest variance: directions with less hold nothing but rounding.
_LEAST_VARIANCE = 1e-6
_STEP = 0.01  # of the root mean square distance to a centroid


class Projection(NamedTuple):
  """A PCA with whitening: `(x - mean) @ matrix`.

  Attributes:
    mean: f32[F].
    matrix: f32[F,D].
  """

  mean: jax.Array
  matrix: jax.Array


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


def shards() -> int:
  """Returns S: 8 where the devices divide it, or else a shard a device."""
  devices = jax.device_count()
  return devices if _SHARDS % devices else _SHARDS


def lay_out(points: np.ndarray) -> tuple[jax.Array, jax.Array]:
  """Splits points over the devices.

  Args:
    points: f32[N,D].

  Returns:
    f32[S,R,D] and `weight` f32[S,R].
  """
  size, count = len(points), shards()
  rows = -(-size // count)
  points = np.asarray(points, np.float32)
  points = np.pad(points, ((0, rows * count - size), (0, 0)))
  weight = (np.arange(rows * count) < size).astype(np.float32)
  return jax.device_put(
    (points.reshape(count, rows, -1), weight.reshape(count, rows)),
    parallel.split(),
  )


def flat(assignment: jax.Array, size: int) -> np.ndarray:
  """Returns i32[N] from i32[S,R], in the order that `lay_out` was given."""
  return np.asarray(assignment).reshape(-1)[:size]


def fit_pca(points: jax.Array, weight: jax.Array, dims: int) -> Projection:
  """Finds the directions of largest variance, scaled to a variance of 1.

  Args:
    points: f32[S,R,F].
    weight: f32[S,R].
    dims: directions to keep.

  Returns:
    The projection; directions without variance are mapped to 0.

  Raises:
    ValueError: there are fewer features, or points, than `dims`.
  """
  size, width = int(np.asarray(weight).sum()), points.shape[-1]
  if not 1 <= dims <= min(width, size):
    raise ValueError(
      f"dims: found {dims}, expected 1 to {min(width, size)}, the smaller of "
      f"the {width} features and the {size} points"
    )
  mean = _sum(points, weight) / size
  covariance = _covariance(points, weight, mean)
  # On the host: float64, and small beside the rest.
  variance, directions = np.linalg.eigh(np.asarray(covariance, np.float64))
  variance = variance[::-1][:dims] / max(size - 1, 1)
  directions = directions[:, ::-1][:, :dims]
  # An eigenvector's sign is arbitrary: its largest entry is made positive.
  largest = np.abs(directions).argmax(axis=0)
  directions = directions * np.sign(directions[largest, np.arange(dims)])
  some = variance > _LEAST_VARIANCE * max(variance[0], 0)
  scale = np.where(some, 1 / np.sqrt(np.where(some, variance, 1)), 0)
  return Projection(mean, jnp.asarray(directions * scale, jnp.float32))


@jax.jit
def project(points: jax.Array, projection: Projection) -> jax.Array:
  """Projects points and scales them to length 1.

  Args:
    points: f32[S,R,F].
    projection: from `fit_pca`.

  Returns:
    f32[S,R,D], split like the points; what is projected to 0 stays 0.
  """

  def of_shard(shard, mean, matrix):
    found = _dot(shard, matrix) - _dot(mean, matrix)[None]
    square = jnp.sum(found * found, axis=1, keepdims=True)
    return found * jax.lax.rsqrt(jnp.maximum(square, 1e-24))

  return _mapped(
    lambda x, *p: jax.lax.map(lambda shard: of_shard(shard, *p), x),
    (_ROWS, _SAME, _SAME),
    _ROWS,
  )(points, *projection)


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
    points: f32[S,R,D].
    weight: f32[S,R].
    k: number of clusters.
    key: of the start and of what replaces empty clusters.
    iterations: updates of the centroids.
    start: "random" points, "k-means++", or centroids f32[k,D].
    dtype: in which points and centroids are compared. In bfloat16 a point
      between two centroids may go to the farther one. Sums and inertia are
      float32.

  Returns:
    The clusters.

  Raises:
    ValueError: there are fewer points than clusters, or some are not finite.
  """
  real = np.flatnonzero(np.asarray(weight).reshape(-1) > 0)
  if not 1 <= k <= len(real):
    raise ValueError(
      f"k: found {k} clusters, expected 1 to {len(real)}, the number of points"
    )
  of_start, of_repair = jax.random.split(key)
  if not isinstance(start, str):
    centroids = jnp.asarray(start, jnp.float32)
  elif start == "random":
    chosen = jax.random.permutation(of_start, len(real))[:k]
    centroids = _rows(points, jnp.asarray(real, jnp.int32)[chosen])
  elif start == "k-means++":
    centroids = _plus_plus(points, weight, of_start, k)
  else:
    raise ValueError(
      f"start: found {start!r}, expected 'random', 'k-means++' or an array"
    )
  inertia = []
  for i in range(iterations + 1):
    sums, sizes, found, assignment = _assign(
      points, weight, centroids, jnp.dtype(dtype)
    )
    # Awaited: see `parallel.updates_in_flight`.
    inertia.append(float(found))
    if not np.isfinite(inertia[-1]):
      raise ValueError(
        "points: found values that are not finite, expected finite ones"
      )
    if i < iterations:
      key = jax.random.fold_in(of_repair, i)
      centroids = _update(centroids, sums, sizes, found, key)
  return Clusters(centroids, assignment, sizes, np.array(inertia))


def _mapped(function: Callable, in_specs: Any, out_specs: Any) -> Callable:
  """Runs a function on every device's own shards."""
  mesh = parallel.split().mesh
  return jax.shard_map(
    function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
  """Multiplies matrices, in full float32 on a TPU too."""
  return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def _added(of_shards: Any) -> Any:
  """Adds `[S / D, ...]` of all devices over the shards, in their order."""
  if jax.device_count() > 1:
    of_shards = parallel.gathered(of_shards)
  return jax.tree.map(lambda x: functools.reduce(jnp.add, x), of_shards)


def _blocks(rows: int) -> tuple[int, int]:
  """Returns how many blocks a shard is read in, and the rows of each."""
  count = -(-rows // _BLOCK)
  return count, -(-rows // count)


def _read(number: jax.Array, rows: jax.Array, weight: jax.Array):
  """Reads a block; the last one overlaps the one before, with weight 0.

  Returns:
    Its first row, the rows [B,D] and their weight [B].
  """
  _, size = _blocks(len(rows))
  start = jnp.minimum(number * size, len(rows) - size)
  again = start + jnp.arange(size) < number * size
  block = jax.lax.dynamic_slice_in_dim(rows, start, size)
  of_block = jax.lax.dynamic_slice_in_dim(weight, start, size)
  return start, block, jnp.where(again, 0, of_block)


@jax.jit
def _sum(points: jax.Array, weight: jax.Array) -> jax.Array:
  """Returns the sum f32[D] of the points."""

  def of_device(points, weight):
    return _added(jnp.sum(points * weight[..., None], axis=1))

  return _mapped(of_device, (_ROWS, _ROWS), _SAME)(points, weight)


@jax.jit
def _covariance(
  points: jax.Array, weight: jax.Array, mean: jax.Array
) -> jax.Array:
  """Returns the sum f32[D,D] of the outer products about the mean."""

  def of_shard(shard):
    rows, weight = shard

    def add(total, number):
      _, block, of_block = _read(number, rows, weight)
      block = (block - mean[None]) * of_block[:, None]
      return total + _dot(block.T, block), None

    total = jnp.zeros((rows.shape[1],) * 2)
    return jax.lax.scan(add, total, jnp.arange(_blocks(len(rows))[0]))[0]

  def of_device(points, weight):
    return _added(jax.lax.map(of_shard, (points, weight)))

  return _mapped(of_device, (_ROWS, _ROWS), _SAME)(points, weight)


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
    half_square = jnp.sum(centroids * centroids, axis=1) / 2
    compared = centroids.astype(dtype)

    def add(carry, number):
      sums, sizes, inertia, assignment = carry
      start, block, of_block = _read(number, rows, weight)
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
    return jax.lax.scan(add, empty, jnp.arange(_blocks(len(rows))[0]))[0]

  def of_device(points, weight, centroids):
    *sums, assignment = jax.lax.map(
      lambda shard: of_shard(shard, centroids), (points, weight)
    )
    return *_added(tuple(sums)), assignment

  return _mapped(
    of_device, (_ROWS, _ROWS, _SAME), (_SAME, _SAME, _SAME, _ROWS)
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
  spread = jnp.sqrt(inertia / (jnp.sum(sizes) * centroids.shape[1]))
  step = (
    _STEP * spread * jax.random.rademacher(key, centroids.shape, jnp.float32)
  )
  return jnp.where(empty[:, None], means[donor] + step, means)


@jax.jit
def _rows(points: jax.Array, index: jax.Array) -> jax.Array:
  """Returns some rows f32[M,D], counted over all shards."""

  def of_device(points, index):
    return parallel.look_up(points.reshape(-1, points.shape[-1]), index)

  return _mapped(of_device, (_ROWS, _SAME), _SAME)(points, index)


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
      share = parallel.gathered(distance)
      # Where all points are drawn already, any of them.
      share = jnp.where(share.sum() > 0, share, parallel.gathered(weight))
      until = jnp.cumsum(share)
      at = jax.random.uniform(jax.random.fold_in(key, i)) * until[-1]
      chosen = jnp.argmax(until > at)
      centroid = parallel.look_up(rows, chosen[None])
      centroids = jax.lax.dynamic_update_slice_in_dim(centroids, centroid, i, 0)
      found = jnp.sum((rows - centroid) ** 2, axis=1) * weight
      return centroids, jnp.where(i > 0, jnp.minimum(distance, found), found)

    centroids = jnp.zeros((k, rows.shape[1]))
    return jax.lax.fori_loop(0, k, draw, (centroids, weight))[0]

  return _mapped(of_device, (_ROWS, _ROWS), _SAME)(points, weight)
