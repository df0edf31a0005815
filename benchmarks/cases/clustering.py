"""k-means beside faiss."""

import functools

import numpy as np

_SIZE, _WIDTH, _CLUSTERS, _ITERATIONS = 100_000, 256, 1_000, 20


def _points():
  rng = np.random.default_rng(0)
  centres = rng.standard_normal((500, _WIDTH), np.float32)
  points = rng.standard_normal((_SIZE, _WIDTH), np.float32)
  points += centres[rng.integers(0, len(centres), _SIZE)]
  return points / np.linalg.norm(points, axis=1, keepdims=True)


class Ours:
  """Our k-means, its points on the device."""

  def __init__(self, dtype):
    """Lays the points out."""
    from sslprune_jax import clustering, platform_setup

    platform_setup.prepare()
    points = _points()
    self._start, self._dtype = points[:_CLUSTERS], dtype
    self._points = clustering.lay_out(points)

  def answer(self):
    """Returns the objective."""
    return {"inertia": self.run()}

  def run(self):
    """Clusters."""
    import jax
    import jax.numpy as jnp

    from sslprune_jax import clustering

    found = clustering.kmeans(
      *self._points,
      _CLUSTERS,
      jax.random.key(0),
      iterations=_ITERATIONS,
      start=self._start,
      dtype=jnp.dtype(self._dtype),
    )
    return float(found.inertia[-1])


class Faiss:
  """faiss, on all points, from the same start."""

  def __init__(self):
    """Takes the same points."""
    import faiss

    faiss.omp_set_num_threads(2)
    self._faiss, self._all = faiss, _points()

  def answer(self):
    """Returns the objective at the end."""
    centroids = self.run()
    index = self._faiss.IndexFlatL2(_WIDTH)
    index.add(centroids)
    distances, _ = index.search(self._all, 1)
    return {"inertia": float(distances.sum(dtype=np.float64))}

  def run(self):
    """Clusters."""
    kmeans = self._faiss.Kmeans(
      _WIDTH, _CLUSTERS, niter=_ITERATIONS, max_points_per_centroid=_SIZE
    )
    kmeans.train(self._all, init_centroids=self._all[:_CLUSTERS])
    return kmeans.centroids


CASES = {
  "kmeans": {
    "ours": functools.partial(Ours, "bfloat16"),
    "peer": Faiss,
    "ours_is": "k-means of 100,000 x 256 into 1,000, 20 iterations, bfloat16 "
    "distances",
    "peer_is": "faiss-cpu, float32",
    "target": 0.8,
    "most": 5,
  }
}
