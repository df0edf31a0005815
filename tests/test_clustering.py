"""PCA and k-means: scikit-learn as the reference, properties, bad input."""

import hashlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import cluster, decomposition

from sslprune_jax.features import clustering, kmeans

KEY = jax.random.key(0)


def _blobs(size=3001, width=6, blobs=10, seed=0):
  rng = np.random.default_rng(seed)
  centres = 4 * rng.normal(size=(blobs, width))
  noise = rng.normal(size=(size, width))
  return (noise + centres[rng.integers(0, blobs, size)]).astype(np.float32)


def test_kmeans_agrees_with_scikit_learn_from_the_same_start():
  points = _blobs()
  start = points[:12]
  ours = clustering.kmeans(
    *clustering.lay_out(points), 12, KEY, iterations=60, start=start
  )
  theirs = cluster.KMeans(
    12, init=start, n_init=1, tol=0, max_iter=60, algorithm="lloyd"
  ).fit(points)
  np.testing.assert_allclose(ours.centroids, theirs.cluster_centers_, atol=1e-4)
  found = clustering.flat(ours.assignment, len(points))
  np.testing.assert_array_equal(found, theirs.labels_)
  np.testing.assert_array_equal(ours.sizes, np.bincount(theirs.labels_))
  np.testing.assert_allclose(ours.inertia[-1], theirs.inertia_, rtol=1e-5)


@settings(max_examples=10, deadline=None)
@given(
  seed=st.integers(0, 1000),
  k=st.sampled_from([1, 7, 60]),
  # Few distinct points: most of 60 clusters are empty.
  distinct=st.sampled_from([3, 40, 70]),
  start=st.sampled_from(["random", "k-means++"]),
)
def test_inertia_never_rises_and_every_point_is_counted(
  seed, k, distinct, start
):
  rng = np.random.default_rng(seed)
  points = rng.normal(size=(distinct, 3))[np.arange(70) % distinct]
  found = clustering.kmeans(
    *clustering.lay_out(points), k, jax.random.key(seed), start=start
  )
  fall = -np.diff(found.inertia)
  assert (fall >= -1e-5 * found.inertia[0] - 1e-9).all()
  assert np.sum(found.sizes) == 70
  assignment = clustering.flat(found.assignment, 70)
  np.testing.assert_array_equal(
    np.bincount(assignment, minlength=k), found.sizes
  )
  assert np.isfinite(found.centroids).all()


def test_empty_clusters_are_refilled_from_large_ones():
  points = _blobs(500, blobs=5)
  start = np.concatenate([points[:3], np.full((5, 6), 1e3, np.float32)])
  found = clustering.kmeans(
    *clustering.lay_out(points), 8, KEY, start=start, iterations=30
  )
  assert (np.asarray(found.sizes) > 0).all()
  assert (np.diff(found.inertia) <= 1e-5 * found.inertia[0]).all()


def test_rows_longer_than_a_block_and_padding_in_between_change_nothing():
  points = _blobs(9000, width=4)
  plain = clustering.kmeans(
    *clustering.lay_out(points), 9, KEY, start=points[:9]
  )
  # The last block of a shard overlaps the one before.
  assert -(-9000 // clustering.shards()) % 1024
  rng = np.random.default_rng(1)
  places = np.sort(rng.choice(9600, 9000, replace=False))
  rows, weight = np.full((9600, 4), 77.0, np.float32), np.zeros(9600)
  rows[places], weight[places] = points, 1
  shape = (clustering.shards(), -1)
  padded = clustering.kmeans(
    jnp.asarray(rows.reshape(*shape, 4)),
    jnp.asarray(weight.reshape(shape), jnp.float32),
    9,
    KEY,
    start=points[:9],
  )
  np.testing.assert_array_equal(
    clustering.flat(padded.assignment, 9600)[places],
    clustering.flat(plain.assignment, 9000),
  )
  np.testing.assert_allclose(padded.centroids, plain.centroids, atol=1e-4)


def test_bfloat16_compares_almost_as_well():
  points = _blobs(4000, width=32, blobs=40)
  points /= np.linalg.norm(points, axis=1, keepdims=True)
  exact, coarse = (
    clustering.kmeans(
      *clustering.lay_out(points), 40, KEY, start=points[:40], dtype=dtype
    ).inertia[-1]
    for dtype in (jnp.float32, jnp.bfloat16)
  )
  np.testing.assert_allclose(coarse, exact, rtol=1e-3)


def test_plus_plus_starts_in_every_blob():
  rng = np.random.default_rng(0)
  points = np.repeat(100 * np.eye(8), 20, axis=0) + rng.normal(size=(160, 8))
  found = clustering.kmeans(
    *clustering.lay_out(points), 8, KEY, iterations=0, start="k-means++"
  )
  np.testing.assert_array_equal(np.sort(found.sizes), np.full(8, 20))


def test_pca_agrees_with_scikit_learn():
  points = _blobs(2000, width=9) + 50
  split, weight = clustering.lay_out(points)
  projection = clustering.fit_pca(split, weight, 4)
  theirs = decomposition.PCA(4, whiten=True).fit_transform(
    points.astype(np.float64)
  )
  theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
  ours = np.asarray(clustering.project(split, projection)).reshape(-1, 4)[:2000]
  signs = np.sign(np.sum(ours * theirs, axis=0))
  np.testing.assert_allclose(ours, theirs * signs, atol=1e-4)
  largest = np.abs(projection.matrix).argmax(axis=0)
  assert (np.asarray(projection.matrix)[largest, np.arange(4)] > 0).all()


def test_directions_without_variance_are_left_out():
  points = _blobs(300, width=3)
  flat = np.concatenate([points, points @ np.ones((3, 2))], axis=1)  # Rank 3.
  split, weight = clustering.lay_out(flat)
  projection = clustering.fit_pca(split, weight, 5)
  assert (np.abs(projection.matrix[:, :3]).sum(axis=0) > 0).all()
  np.testing.assert_array_equal(projection.matrix[:, 3:], 0)


def test_one_repeated_point_is_one_cluster():
  split, weight = clustering.lay_out(np.full((50, 5), 3.0))
  projected = clustering.project(split, clustering.fit_pca(split, weight, 3))
  np.testing.assert_array_equal(projected, 0)
  for start in ("random", "k-means++"):
    for points in (split, projected):
      found = clustering.kmeans(points, weight, 7, KEY, start=start)
      assert sorted(np.asarray(found.sizes)) == [0] * 6 + [50]
      assert found.inertia[-1] == 0


def test_points_that_differ_by_rounding_are_one_point():
  rng = np.random.default_rng(0)
  point = rng.normal(size=(1, 5)).astype(np.float32)
  points = point + rng.integers(-2, 3, (50, 5)) * np.spacing(point)
  assert len(np.unique(points, axis=0)) > 40
  split, weight = clustering.lay_out(points)
  projected = clustering.project(split, clustering.fit_pca(split, weight, 3))
  np.testing.assert_array_equal(projected, 0)


def test_as_many_values_as_an_int32_cannot_count_refill_a_cluster():
  centroids = jnp.zeros((3, 2048))
  sizes = jnp.array([1_281_167, 5, 0])
  moved = kmeans._update(centroids, centroids, sizes, jnp.float32(1e6), KEY)
  step = np.abs(moved[2])
  np.testing.assert_allclose(step, 0.01 * (1e6 / 1_281_172 / 2048) ** 0.5, 1e-4)


def test_one_compilation_serves_all_iterations_and_calls():
  split, weight = clustering.lay_out(_blobs(400))
  clustering.kmeans(split, weight, 5, KEY)
  before = kmeans._assign._cache_size(), kmeans._update._cache_size()
  clustering.kmeans(split, weight, 5, jax.random.key(1), iterations=3)
  after = kmeans._assign._cache_size(), kmeans._update._cache_size()
  assert before == after


def test_impossible_requests_are_one_clear_line():
  points = _blobs(20, width=4)
  split, weight = clustering.lay_out(points)
  with pytest.raises(ValueError, match="k: found 21 clusters, .* 1 to 20"):
    clustering.kmeans(split, weight, 21, KEY)
  with pytest.raises(ValueError, match="start: found values that are not fini"):
    clustering.kmeans(split, weight, 2, KEY, start=np.full((2, 4), np.nan))
  with pytest.raises(ValueError, match="dims: found 5, .* the 4 features"):
    clustering.fit_pca(split, weight, 5)
  with pytest.raises(ValueError, match="start: found 'best'"):
    clustering.kmeans(split, weight, 2, KEY, start="best")
  with pytest.raises(ValueError, match=r"start: .*\(3, 4\), expected \(5, 4\)"):
    clustering.kmeans(split, weight, 5, KEY, start=points[:3])
  points[3, 1] = np.nan
  with pytest.raises(ValueError, match="not finite"):
    clustering.kmeans(*clustering.lay_out(points), 2, KEY, start=points[:2])
  with pytest.raises(ValueError, match="not finite"):
    clustering.fit_pca(*clustering.lay_out(points), 2)


_SCRIPT = """
import hashlib, sys
import jax, jax.numpy as jnp, numpy as np
from sslprune_jax import clustering

assert jax.device_count() == int(sys.argv[1])
points = np.random.default_rng(0).normal(size=(5000, 12)).astype(np.float32)
split, weight = clustering.lay_out(points)
points = clustering.project(split, clustering.fit_pca(split, weight, 6))
digest = hashlib.sha256(np.asarray(points).tobytes())
# 400 of 5000 points: some clusters fall empty on the way.
for start, dtype in (("random", jnp.float32), ("k-means++", jnp.bfloat16)):
  found = clustering.kmeans(
    points, weight, 400, jax.random.key(0), start=start, dtype=dtype
  )
  for array in (found.centroids, found.assignment, found.inertia):
    digest.update(np.asarray(array).tobytes())
print(digest.hexdigest())
"""


def test_four_devices_give_the_bits_of_one():
  digests = set()
  for devices in (1, 4):
    flag = f"--xla_force_host_platform_device_count={devices}"
    run = subprocess.run(
      [sys.executable, "-c", _SCRIPT, str(devices)],
      # Programs as users compile them, of which each device count has its own.
      env={
        **os.environ,
        "XLA_FLAGS": flag,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
      },
      check=True,
      capture_output=True,
      text=True,
    )
    digests.add(run.stdout.strip())
  assert len(digests) == 1
  assert len(digests.pop()) == hashlib.sha256().digest_size * 2
