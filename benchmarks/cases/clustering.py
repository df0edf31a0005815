"""k-means beside faiss."""

import functools

import numpy as np

WIDTH = 256
_SIZE = 100_000


def points_of(size, seed=0):
  """Draws f32[size, 256]: 500 directions with noise, scaled to length 1."""
  rng = np.random.default_rng(seed)
  centres = rng.standard_normal((500, WIDTH), np.float32)
  points = rng.standard_normal((size, WIDTH), np.float32)
  points += centres[rng.integers(0, len(centres), size)]
  return points / np.linalg.norm(points, axis=1, keepdims=True)


class Ours:
  """k-means of this package, its points on the device."""

  def __init__(self, points, dtype):
    """Lays the points out, which is not timed: features are there already."""
    from sslprune_jax.features import clustering

    self._dtype = dtype
    self._points = clustering.lay_out(points)

  def cluster(self, start, iterations):
    """Returns the inertia that k-means ends with."""
    import jax

    from sslprune_jax.features import clustering

    found = clustering.kmeans(
      *self._points,
      len(start),
      jax.random.key(0),
      iterations=iterations,
      start=start,
      dtype=self._dtype,
    )
    return float(found.inertia[-1])


class Faiss:
  """faiss.Kmeans, kept from drawing a subset of the points."""

  def __init__(self, points):
    """Takes the points as they are."""
    import faiss

    faiss.omp_set_num_threads(2)
    self._faiss, self._points = faiss, points

  def cluster(self, start, iterations):
    """Returns the inertia after the last assignment, as ours does."""
    kmeans = self._faiss.Kmeans(
      WIDTH,
      len(start),
      niter=iterations,
      min_points_per_centroid=1,
      max_points_per_centroid=len(self._points),
    )
    kmeans.train(self._points, init_centroids=start)
    squares, _ = kmeans.index.search(self._points, 1)
    return float(squares.sum(dtype=np.float64))


class _Side:
  """One of the two, on the points of the case."""

  def __init__(self, made, clusters, iterations):
    points = points_of(_SIZE)
    self._start, self._rival = points[:clusters], made(points)
    self._iterations = iterations

  def answer(self):
    """Returns the inertia."""
    return {"inertia": self.run()}

  def run(self):
    """Clusters."""
    return self._rival.cluster(self._start, self._iterations)


def _case(clusters, iterations, target, note=""):
  how = {"clusters": clusters, "iterations": iterations}
  ours = functools.partial(Ours, dtype="bfloat16")
  return {
    "ours": functools.partial(_Side, ours, **how),
    "peer": functools.partial(_Side, Faiss, **how),
    "ours_is": f"k-means of {_SIZE:,} x {WIDTH} into {clusters:,}, "
    f"{iterations} iterations, bfloat16 distances",
    "peer_is": "faiss-cpu, float32",
    "target": target,
    "most": 9,
    "note": note,
  }


CASES = {
  "kmeans": _case(
    1_000,
    20,
    0.65,
    "of processor time it is met, and by the clock with more clusters; with 5 "
    "iterations it is half of faiss's time (docs/measurements.md), as "
    "faiss's first iterations take longer than its later ones.",
  ),
  "kmeans_many": _case(10_000, 5, 0.6),
}
