"""Exemplar: triplets against plain loops and PyTorch; views and devices."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import data
from sslprune_jax.runtime import devices as devices_lib
from sslprune_jax.runtime import rng
from sslprune_jax.tasks import exemplar
from sslprune_jax.tasks.exemplar import Exemplar
from sslprune_jax.tasks.task_state import TASK_AXES, TaskState

VIEWS = {
  "augment": data.Augment(padding=1, rotation=10.0),
  "normalise": functools.partial(data.normalise, mean=(0.5,), std=(0.5,)),
}
RNG = np.random.default_rng(0)


def _unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _plain(embedding, index, views, margin, mining):
  """The definition in loops: anchors one by one, pairs one by one."""
  distance = 1 - embedding @ embedding.T
  losses = []
  for a in range(len(index)):
    positives = [
      distance[a, p]
      for p in range(len(index))
      if index[p] == index[a] and p != a
    ]
    negatives = [
      distance[a, n] for n in range(len(index)) if index[n] != index[a]
    ]
    assert len(positives) == views - 1
    if mining == "batch-hard":
      pairs = [(max(positives), min(negatives))]
    else:
      pairs = [
        (p, min((n for n in negatives if n > p), default=max(negatives)))
        for p in positives
      ]
    losses.append(np.mean([max(0, p - n + margin) for p, n in pairs]))
  return np.mean(losses)


def _ours(embedding, index, views, margin, mining):
  return exemplar.triplet_losses(
    embedding, index, embedding, index, 0,
    views=views, margin=margin, mining=mining,
  )  # fmt: skip


CASES = [
  (views, mining) for views in (2, 3) for mining in ("semi-hard", "batch-hard")
]


@pytest.mark.parametrize("views, mining", CASES)
def test_the_loss_and_its_gradient_equal_the_definition(views, mining):
  index = np.repeat(np.arange(4, dtype=np.int32), views)
  embedding = _unit(RNG.normal(size=(len(index), 3)))

  def ours(embedding):
    return _ours(embedding, index, views, 0.5, mining)[0].mean()

  loss, gradient = jax.value_and_grad(ours)(jnp.float32(embedding))
  plain = functools.partial(
    _plain, index=index, views=views, margin=0.5, mining=mining
  )
  np.testing.assert_allclose(loss, plain(embedding), rtol=1e-5)
  for place in np.ndindex(embedding.shape):
    step = np.zeros(embedding.shape)
    step[place] = 1e-6
    slope = (plain(embedding + step) - plain(embedding - step)) / 2e-6
    np.testing.assert_allclose(gradient[place], slope, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("views, mining", CASES)
def test_gradients_through_the_norm_equal_pytorchs(views, mining):
  torch = pytest.importorskip("torch")
  index = np.repeat(np.arange(4, dtype=np.int32), views)
  logits = RNG.normal(size=(len(index), 5)).astype(np.float32)
  task = Exemplar(num_outputs=5, views=views, mining=mining, **VIEWS)

  def ours(logits):
    scores = _mapped(task)(TaskState(), logits[None], index[None])
    return scores["loss"].mean()

  loss, gradient = jax.value_and_grad(ours)(logits)
  x = torch.tensor(logits, requires_grad=True)
  unit = torch.nn.functional.normalize(x, dim=1)
  distance = 1 - unit @ unit.T
  same = torch.tensor(index[:, None] == index[None])
  losses = []
  for i, row in enumerate(distance):
    positives = row[same[i] & (torch.arange(len(index)) != i)]
    negatives = row[~same[i]]
    if mining == "batch-hard":
      losses.append(torch.relu(positives.max() - negatives.min() + 0.5))
      continue
    for positive in positives:
      farther = negatives[negatives > positive]
      negative = farther.min() if len(farther) else negatives.max()
      losses.append(torch.relu(positive - negative + 0.5))
  expected = torch.stack(losses).mean()
  expected.backward()
  np.testing.assert_allclose(loss, expected.item(), rtol=1e-5)
  np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-3, atol=1e-6)


def _mapped(task):
  def scores(state, logits, index):
    return task.scores({"logits": logits}, {"index": index}, state)

  return jax.vmap(scores, axis_name=devices_lib.AXIS, in_axes=(TASK_AXES, 0, 0))


def test_four_devices_are_one_in_loss_and_gradient():
  logits = RNG.normal(size=(16, 5)).astype(np.float32)
  index = np.repeat(np.arange(8, dtype=np.int32), 2)
  task = Exemplar(num_outputs=5, **VIEWS)
  found = []
  for devices in (1, 4):

    def mean(logits, devices=devices):
      scores = _mapped(task)(
        TaskState(),
        logits.reshape(devices, -1, 5),
        index.reshape(devices, -1),
      )
      return scores["loss"].mean()

    found.append(jax.jit(jax.value_and_grad(mean))(logits))
  chex.assert_trees_all_close(*found, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("mining", exemplar.MININGS)
def test_gradients_averaged_in_the_step_are_of_the_global_mean(mining):
  features = RNG.normal(size=(16, 5)).astype(np.float32)
  kernel = RNG.normal(size=(5, 3)).astype(np.float32)
  index = np.repeat(np.arange(8, dtype=np.int32), 2)
  task = Exemplar(num_outputs=3, mining=mining, **VIEWS)

  def step(kernel, features, index):
    def loss_of(kernel):
      outputs = {"logits": features @ kernel}
      key = jax.random.key(0)
      return task.loss(outputs, {"index": index}, TaskState(), key)[0]

    found = jax.value_and_grad(loss_of)(kernel)
    return jax.lax.pmean(found, devices_lib.AXIS)

  mapped = jax.jit(
    jax.vmap(
      step, axis_name=devices_lib.AXIS, in_axes=(None, 0, 0), out_axes=None
    )
  )
  one, four = (
    mapped(kernel, features.reshape(d, -1, 5), index.reshape(d, -1))
    for d in (1, 4)
  )
  chex.assert_trees_all_close(one, four, rtol=1e-7, atol=1e-6)


def test_without_a_semi_hard_negative_the_farthest_is_taken():
  # On a circle: the positive is opposite, so every negative is nearer.
  angle = np.radians([0, 180, 10, 30])
  embedding = np.stack([np.cos(angle), np.sin(angle)], axis=1)
  index = np.array([0, 0, 1, 1], np.int32)
  loss, accuracy = _ours(jnp.float32(embedding), index, 2, 0.5, "semi-hard")
  farthest = 1 - np.cos(np.radians(30))
  np.testing.assert_allclose(loss[0], 2 - farthest + 0.5, rtol=1e-5)
  np.testing.assert_array_equal(accuracy, [0, 0, 0, 1])


@pytest.mark.parametrize("mining", exemplar.MININGS)
@pytest.mark.parametrize("images", [1, 3])
def test_equal_embeddings_and_a_single_image_stay_finite(mining, images):
  task = Exemplar(num_outputs=4, mining=mining, **VIEWS)
  index = np.repeat(np.arange(images, dtype=np.int32), 2)
  for logits in (np.zeros((len(index), 4)), np.ones((len(index), 4))):

    def mean(logits):
      return _mapped(task)(TaskState(), logits[None], index[None])[
        "loss"
      ].mean()

    loss, gradient = jax.jit(jax.value_and_grad(mean))(jnp.float32(logits))
    assert np.isfinite(loss) and np.isfinite(gradient).all()
    assert (loss == 0) == (images == 1)


def test_padding_is_no_negative():
  task = Exemplar(num_outputs=3, **VIEWS)
  logits = RNG.normal(size=(6, 3)).astype(np.float32)
  logits[4:] = logits[:2]  # As near as can be, but of weight 0.
  index = np.array([0, 0, 1, 1, 2, 2], np.int32)
  weight = np.array([1, 1, 1, 1, 0, 0], np.float32)

  def scores(logits, index, weight):
    batch = {"index": index, "weight": weight}
    return task.scores({"logits": logits}, batch, TaskState())

  mapped = jax.vmap(scores, axis_name=devices_lib.AXIS)
  padded = mapped(logits[None], index[None], weight[None])
  alone = mapped(logits[None, :4], index[None, :4], weight[None, :4])
  padded = jax.tree.map(lambda rows: rows[:, :4], padded)
  chex.assert_trees_all_close(padded, alone, rtol=1e-6)


def test_views_stand_in_a_row_and_differ():
  task = Exemplar(num_outputs=4, views=3, **VIEWS)
  assert (task.reads, task.rows) == (3, 3)
  images = RNG.integers(0, 256, (7, 8, 8, 1), np.uint8)
  source = data.ArraySource(images, np.zeros(7, np.int32))
  order = task.order(0, 2, source, {})
  plain = rng.permutation(0, 2, 7)
  np.testing.assert_array_equal(order, np.repeat(plain, 3))
  batch = {"image": jnp.asarray(images[order[:6]]), "index": order[:6]}
  view = task.view(jax.random.split(jax.random.key(0), 6), batch)["image"]
  assert (np.asarray(view[0]) != np.asarray(view[1])).any()


def test_views_in_evaluation_depend_on_the_image_alone():
  task = Exemplar(num_outputs=4, **VIEWS)
  images = jnp.asarray(RNG.integers(0, 256, (5, 8, 8, 1), np.uint8))
  batch = {
    "image": images,
    "index": jnp.arange(5, dtype=jnp.int32),
    "label": jnp.zeros(5, jnp.int32),
    "weight": jnp.ones(5),
  }
  whole = task.evaluation_view(batch)
  part = task.evaluation_view({k: v[3:] for k, v in batch.items()})
  np.testing.assert_array_equal(whole["image"][6:], part["image"])
  np.testing.assert_array_equal(whole["index"], np.repeat(np.arange(5), 2))
  assert (np.asarray(whole["image"][0]) != np.asarray(whole["image"][1])).any()


def test_the_number_of_views_is_checked():
  with pytest.raises(ValueError, match="exemplar.views: found 9, .* from 2"):
    Exemplar(num_outputs=4, views=9, **VIEWS)
