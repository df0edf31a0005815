"""S4L: which rows are labelled, and the loss against plain NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.runtime import rng
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.tasks.s4l import S4L

VIEWS = {
  "augment": data.Augment(),
  "normalise": functools.partial(data.normalise, mean=(0.5,), std=(0.5,)),
}
RNG = np.random.default_rng(0)
TASK = S4L(num_outputs=4 + 3, rotation_weight=0.7, **VIEWS)


def _source():
  images = RNG.integers(0, 256, (20, 4, 4, 1), np.uint8)
  labels = np.arange(20, dtype=np.int32) % 3
  return data.ArraySource(images, labels)


def _log_softmax(x):
  return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def test_every_image_stands_beside_a_labelled_one():
  labelled = np.array([1, 4, 5, 12, 18])
  source = data.hide_labels_except(_source(), labelled)
  np.testing.assert_array_equal(np.flatnonzero(source.labels >= 0), labelled)
  seen = []
  for epoch in range(5):
    pairs = TASK.order(3, epoch, source, {}).reshape(-1, 2)
    np.testing.assert_array_equal(pairs[:, 0], rng.permutation(3, epoch, 20))
    seen += list(pairs[:, 1])
  values, counts = np.unique(seen, return_counts=True)
  np.testing.assert_array_equal(values, labelled)
  np.testing.assert_array_equal(counts, 20)  # 5 epochs of 20, 5 images.


def test_all_rows_are_turned_and_keep_their_class():
  source = _source()
  index = jnp.arange(6)
  batch = {
    "image": jnp.asarray(source.images[:6]),
    "label": jnp.asarray(source.labels[:6]),
    "index": index,
  }
  view = TASK.view(jax.random.split(jax.random.key(0), 6), batch)
  assert len(view["image"]) == 3 * TASK.rows
  np.testing.assert_array_equal(view["label"], np.repeat(np.arange(4), 6))
  np.testing.assert_array_equal(view["class"], np.tile(source.labels[:6], 4))


def test_the_loss_and_its_gradient_are_the_sum_of_both():
  # Four rows, every other one labelled, at four angles.
  logits = RNG.normal(size=(16, 7))
  angle = np.repeat(np.arange(4), 4)
  classes = np.tile([-1, 2, -1, 0], 4)  # Unlabelled rows have no class.

  def ours(logits):
    batch = {"label": angle, "class": classes}
    return TASK.loss({"logits": logits}, batch, TaskState(), None)

  (loss, metrics), gradient = jax.value_and_grad(ours, has_aux=True)(
    jnp.float32(logits)
  )
  rotation, label = logits[:, :4], logits[classes >= 0, 4:]
  known = classes[classes >= 0]
  of_rotation = -_log_softmax(rotation)[np.arange(16), angle].mean()
  of_label = -_log_softmax(label)[np.arange(8), known].mean()
  np.testing.assert_allclose(loss, of_label + 0.7 * of_rotation, rtol=1e-5)
  np.testing.assert_allclose(metrics["label_loss"], of_label, rtol=1e-5)
  right = (label.argmax(1) == known).mean()
  np.testing.assert_allclose(metrics["accuracy"], right)

  expected = np.zeros((16, 7))
  expected[:, :4] = np.exp(_log_softmax(rotation)) - np.eye(4)[angle]
  expected[:, :4] *= 0.7 / 16
  expected[classes >= 0, 4:] = (
    np.exp(_log_softmax(label)) - np.eye(3)[known]
  ) / 8
  np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_new_images_are_scored_upright_by_their_labels():
  logits = RNG.normal(size=(5, 7)).astype(np.float32)
  label = logits[:, 4:].argmax(axis=1)
  scores = TASK.scores({"logits": logits}, {"label": label}, TaskState())
  np.testing.assert_array_equal(scores["accuracy"], 1)
