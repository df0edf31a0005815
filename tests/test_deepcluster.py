"""DeepCluster: what an epoch begins with, in which order it reads."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslprune_jax import data, models
from sslprune_jax.features import extraction
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.tasks import deepcluster
from sslprune_jax.tasks.deepcluster import DeepCluster
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state as state_lib

VIEWS = {
  "augment": data.Augment(padding=1),
  "normalise": functools.partial(data.normalise, mean=(0.5,), std=(0.5,)),
}
TASK = DeepCluster(num_outputs=6, components=8, **VIEWS)


def _source(images=None):
  rng = np.random.default_rng(0)
  if images is None:
    images = rng.integers(0, 256, (70, 8, 8, 1), np.uint8)
  return data.ArraySource(images, np.arange(len(images), dtype=np.int32) % 4)


def _begun(source, epochs=1):
  """Returns the state before, the state after, what was logged."""
  network = models.build("convnet", TASK.num_outputs, sobel=True)
  variables = state_lib.initialize(network, (8, 8, 1), jax.random.key(0))
  optimizer = optimizer_lib.optimizer("adam", weight_decay=0.0, own_head=True)
  state = state_lib.create(
    variables,
    masks_lib.dense(variables["params"]),
    optimizer,
    jax.random.key(1),
    task_state=TASK.init(jax.random.key(2), source),
  )
  ones = jax.tree.map(jnp.ones_like, state.opt_state)
  state = state.replace(opt_state=ones)
  step = extraction.make_step(network, TASK.normalise)

  def extract(state):
    found = extraction.extract(step, state.variables, source, 32, shards=8)
    return found.rows, found.images_by_row()

  after = state
  for epoch in range(epochs):
    *begun, logged = TASK.begin_epoch(
      after.task_state,
      after.params["head"],
      jax.random.key(epoch),
      source,
      functools.partial(extract, after),
    )
    after = state_lib.begin_epoch(after, *begun)
  return state, after, logged, extract


def test_features_come_back_with_the_image_that_each_is_of():
  source = _source()
  state, _, _, extract = _begun(source)
  features, image = extract(state)
  assert features.shape[:2] == image.shape == (8, 12)
  np.testing.assert_array_equal(
    np.sort(image.ravel()), [*range(70), *[70] * 26]
  )
  network = models.build("convnet", TASK.num_outputs, sobel=True)
  apply = jax.jit(network.apply, static_argnames="train")
  images = TASK.normalise(source.images)
  every = apply(state.variables, images, train=False)["features"]
  real = image < 70
  np.testing.assert_allclose(
    np.asarray(features)[real], every[image[real]], atol=1e-5
  )


def test_an_epoch_begins_with_new_clusters_and_a_new_head():
  source = _source()
  state, after, logged, _ = _begun(source, epochs=2)
  assignment = np.asarray(after.task_state.shared["assignment"])
  assert assignment.shape == (70,) and set(assignment) <= set(range(6))
  assert after.task_state.shared["centroids"].shape == (6, 8)
  head = after.params["head"]
  assert (head["kernel"] != state.params["head"]["kernel"]).all()
  assert np.std(head["kernel"]) == pytest.approx(0.01, rel=0.2)
  np.testing.assert_array_equal(head["bias"], 0)
  # The head's optimizer starts again; the trunk and its moments stay.
  for name, value in {"head": 0, "trunk": 1}.items():
    moments = after.opt_state.inner_states[name]
    chex.assert_trees_all_equal(moments, optax.tree.full_like(moments, value))
  chex.assert_trees_all_equal(state.params["trunk"], after.params["trunk"])
  assert set(logged) == {
    "inertia", "entropy", "empty", "nmi_before", "nmi_labels"
  }  # fmt: skip


def test_a_set_of_one_repeated_image_is_survived():
  source = _source(np.full((40, 8, 8, 1), 7, np.uint8))
  _, after, logged, _ = _begun(source)
  assignment = np.asarray(after.task_state.shared["assignment"])
  assert logged["empty"] == 5 and logged["inertia"] == 0
  order = deepcluster.balanced_order(assignment, 0, 0)
  np.testing.assert_array_equal(np.sort(order), np.arange(40))


@settings(max_examples=50, deadline=None)
@given(
  sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
  seed=st.integers(0, 100),
)
def test_every_cluster_is_read_as_often(sizes, seed):
  assignment = np.repeat(np.arange(len(sizes)), sizes)
  assignment = np.random.default_rng(seed).permutation(assignment)
  order = deepcluster.balanced_order(assignment, seed, 3)
  assert order.dtype == np.int32 and len(order) == len(assignment)
  present = [size for size in sizes if size]
  share = -(-len(assignment) // len(present))
  reads = np.bincount(assignment[order], minlength=len(sizes))
  # The last of the drawn ones are cut off, to the length of an epoch.
  cut = share * len(present) - len(assignment)
  assert all(
    share - cut <= n <= share
    for n, size in zip(reads, sizes, strict=True)
    if size
  )
  if cut == 0:
    for cluster, size in enumerate(sizes):
      images = order[assignment[order] == cluster]
      assert len(set(images)) == min(size, share) or not size
  other = deepcluster.balanced_order(assignment, seed, 4)
  assert len(assignment) < 10 or (order != other).any()


def test_statistics_of_a_clustering():
  assignment = np.array([0, 0, 1, 1], np.int32)
  none = np.full(4, -1, np.int32)
  assert deepcluster.statistics(assignment, 2, none, none) == {
    "entropy": pytest.approx(1.0),
    "empty": 0,
  }
  found = deepcluster.statistics(
    assignment, 4, np.array([3, 3, 0, 0]), np.array([0, 1, 0, -1])
  )
  assert found["nmi_before"] == pytest.approx(1.0)
  assert found["empty"] == 2 and found["entropy"] == pytest.approx(0.5)
  assert 0 <= found["nmi_labels"] < 1


def test_rows_are_scored_by_the_cluster_of_their_image():
  state = TASK.init(jax.random.key(0), _source())
  state = state.replace(
    shared={**state.shared, "assignment": jnp.arange(70) % 6}
  )
  logits = jax.nn.one_hot(jnp.array([1, 2, 3]), 6)
  # 70 is padding.
  batch = {"index": jnp.array([1, 8, 70])}
  scores = TASK.scores({"logits": logits}, batch, state)
  np.testing.assert_array_equal(scores["accuracy"], [1, 1, 1])
  assert TASK.scored_on == "train"


def test_what_does_not_fit_is_refused_by_name():
  with pytest.raises(ValueError, match="clusters: found 6, .* 5 training"):
    TASK.check(_source(np.zeros((5, 8, 8, 1), np.uint8)), 64)
  with pytest.raises(ValueError, match="components: found 8, .* 7 features"):
    TASK.check(_source(), 7)


def test_the_head_is_drawn_apart_from_the_clusters(monkeypatch):
  keys = []
  real = deepcluster.clustering.kmeans

  def kmeans(points, weight, k, key, **settings):
    keys.extend([key, *jax.random.split(key)])
    return real(points, weight, k, key, **settings)

  monkeypatch.setattr(deepcluster.clustering, "kmeans", kmeans)
  _, after, _, _ = _begun(_source())
  kernel = after.params["head"]["kernel"]
  for key in keys:
    other = 0.01 * jax.random.normal(key, kernel.shape)
    assert not np.array_equal(kernel, other)
