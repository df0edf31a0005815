"""The linear classifier on extracted features: NumPy as the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sslprune_jax.runtime import devices
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.transfer import logistic

RNG = np.random.default_rng(0)


def _laid_out(size, width, classes=3, rows=40):
  """Returns features among rows of nonsense, their places, and labels."""
  place = RNG.permutation(rows)[:size]
  features = np.full((1, rows, width), 1e6, np.float32)
  features[0, place] = RNG.normal(size=(size, width)) * 3 + 1
  labels = np.full(rows, -1, np.int32)
  labels[place] = RNG.integers(0, classes, size)
  return features, place.astype(np.int32), labels


def test_the_gradient_equals_numpy():
  x = RNG.normal(size=(7, 4))
  y = RNG.integers(0, 3, 7)
  kernel, bias = RNG.normal(size=(4, 3)), RNG.normal(size=3)
  params = {"head": {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}}
  (loss, metrics), gradient = jax.value_and_grad(logistic.loss, has_aux=True)(
    params, jnp.float32(x), jnp.asarray(y)
  )
  logits = x @ kernel + bias
  share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  difference = (share - np.eye(3)[y]) / 7
  np.testing.assert_allclose(
    loss, -np.log(share[range(7), y]).mean(), rtol=1e-5
  )
  np.testing.assert_allclose(
    gradient["head"]["kernel"], x.T @ difference, atol=1e-5
  )
  np.testing.assert_allclose(
    gradient["head"]["bias"], difference.sum(0), atol=1e-6
  )
  assert metrics["accuracy"] == np.mean(logits.argmax(1) == y)


def test_statistics_are_those_of_the_training_images_alone():
  features, place, _ = _laid_out(30, 5)
  found = logistic.create(jnp.asarray(features), jnp.asarray(place), 3)
  rows = features[0, place]
  np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-4)
  np.testing.assert_allclose(found.scale, 1 / rows.std(0), rtol=1e-4)


def test_statistics_of_a_grid_are_those_of_its_channels():
  features, place, _ = _laid_out(30, 6)
  found = logistic.create(
    jnp.asarray(features), jnp.asarray(place), 3, channels=2
  )
  grid = features[0, place].reshape(30, 3, 2)
  mean, deviation = grid.mean((0, 1)), grid.std((0, 1))
  np.testing.assert_allclose(found.mean, np.tile(mean, 3), rtol=1e-4)
  np.testing.assert_allclose(found.scale, np.tile(1 / deviation, 3), rtol=1e-4)


def test_updates_equal_numpys_with_nesterov_and_weight_decay():
  features, place, labels = _laid_out(30, 5)
  optimizer = optimizer_lib.optimizer("sgd", weight_decay=0.1, momentum=0.9)
  epoch = logistic.make_epoch(
    optimizer, optax.piecewise_constant_schedule(0.5, {3: 0.1})
  )
  index = np.stack([RNG.permutation(place)[:8] for _ in range(5)])
  classifier = logistic.create(jnp.asarray(features), jnp.asarray(place), 3)
  features = jax.device_put(features, devices.split())
  state = optimizer.init(classifier.params)
  for first, rows in ((0, index[:2]), (2, index[2:])):
    classifier, state, metrics = epoch(
      classifier, state, features, jnp.asarray(labels), rows, np.int32(first)
    )
  x = (
    np.asarray(features[0], float) - np.asarray(classifier.mean)
  ) * np.asarray(classifier.scale)
  weights, trace = np.zeros((6, 3)), np.zeros((6, 3))
  for update, rows in enumerate(index):
    inputs = np.concatenate([x[rows], np.ones((8, 1))], 1)
    logits = inputs @ weights
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradient = inputs.T @ (share - np.eye(3)[labels[rows]]) / 8 + 0.1 * weights
    trace = gradient + 0.9 * trace
    rate = 0.5 if update < 3 else 0.05
    weights -= rate * (gradient + 0.9 * trace)
  head = classifier.params["head"]
  np.testing.assert_allclose(head["kernel"], weights[:5], rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(head["bias"], weights[5], rtol=1e-3, atol=1e-5)
  assert set(metrics) == {"loss", "accuracy"}


def test_scores_count_no_padding():
  classifier = logistic.Classifier(
    {"head": {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}},
    jnp.zeros(2),
    jnp.ones(2),
  )
  features = jnp.array([[[1.0, 0], [0, 1], [1, 0], [0, 0]]])
  labels = jnp.array([[0, 1, 1, -1]])
  found = logistic.scores(classifier, features, labels)
  np.testing.assert_allclose(found["accuracy"], 2 / 3)
  odds = np.log(1 + np.exp([-1, -1, 1]))  # Right, right, wrong, each by 1.
  np.testing.assert_allclose(found["loss"], odds.mean(), rtol=1e-6)
