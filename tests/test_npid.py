"""NPID against plain NumPy, its bank on 1 and 4 devices, its errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import data
from sslprune_jax.runtime import devices as devices_lib
from sslprune_jax.tasks import npid as npid_lib
from sslprune_jax.tasks.npid import NPID
from sslprune_jax.tasks.task_state import TASK_AXES, TaskState

VIEWS = {
  "augment": data.Augment(),
  "normalise": functools.partial(data.normalise, mean=(0.5,), std=(0.5,)),
}
RNG = np.random.default_rng(0)
SIZE, WIDTH, ROWS = 21, 5, 8


def _source(size=SIZE, classes=3):
  images = RNG.integers(0, 256, (size, 4, 4, 1), np.uint8)
  return data.ArraySource(images, np.arange(size, dtype=np.int32) % classes)


def _task(**settings):
  settings = {"num_classes": 3, "negatives": 7, "neighbours": 5} | settings
  return NPID(num_outputs=WIDTH, **settings, **VIEWS)


def _on_devices(function, devices, task_state, *args):
  """Runs a method of the step with rows and bank split over devices."""

  def rows(tree):
    return jax.tree.map(
      lambda x: jnp.asarray(x).reshape(devices, -1, *x.shape[1:]), tree
    )

  def banks(x):
    each = -(-SIZE // devices)
    padding = [(0, each * devices - SIZE)] + [(0, 0)] * (x.ndim - 2)
    return jnp.pad(x[0, :SIZE], padding).reshape(devices, each, *x.shape[2:])

  split = TaskState(
    task_state.shared, jax.tree.map(banks, task_state.by_sample)
  )
  axes = (TASK_AXES, *(0 for _ in args))
  mapped = jax.vmap(function, axis_name=devices_lib.AXIS, in_axes=axes)
  return jax.jit(mapped)(split, *map(rows, args))


def _numbers():
  logits = RNG.normal(size=(ROWS, WIDTH)).astype(np.float32)
  index = RNG.permutation(SIZE)[:ROWS].astype(np.int32)
  return logits, index


def _unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_nce_is_the_plain_formula_and_so_is_its_gradient():
  torch = pytest.importorskip("torch")
  positive, negative = RNG.normal(size=4) * 3, RNG.normal(size=(4, 6)) * 3
  size, z = 50, 40.0
  got, gradients = jax.value_and_grad(
    lambda p, n: npid_lib.nce_losses(p, n, jnp.float32(z), size).sum(), (0, 1)
  )(jnp.float32(positive), jnp.float32(negative))
  p, n = (torch.tensor(x, requires_grad=True) for x in (positive, negative))
  noise = n.shape[1] / size  # M / N
  of_p, of_n = torch.exp(p) / z, torch.exp(n) / z
  loss = -torch.log(of_p / (of_p + noise)).sum()
  loss = loss - torch.log(noise / (of_n + noise)).sum()
  loss.backward()
  np.testing.assert_allclose(got, loss.item(), rtol=1e-5)
  for found, expected in zip(gradients, (p.grad, n.grad), strict=True):
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def _numpy_nce(logits, index, bank, noise, z, temperature):
  """The loss in plain float64, image by image."""
  v, m = _unit(logits.astype(np.float64)), len(noise)
  losses = []
  for i, row in enumerate(v):
    p = np.exp(row @ bank[index[i]] / temperature) / z
    q = np.exp(bank[noise] @ row / temperature) / z
    noise_of = m / len(bank)
    losses.append(
      -np.log(p / (p + noise_of)) - np.log(noise_of / (q + noise_of)).sum()
    )
  return np.mean(losses)


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("known", [0.0, 33.0])
def test_the_loss_of_nce_and_its_gradient_equal_numpys(devices, known):
  task = _task(temperature=0.3)
  state = task.init(jax.random.key(0), _source())
  state = state.replace(shared={"normaliser": jnp.float32(known)})
  bank = np.asarray(state.by_sample["bank"][0], np.float64)
  logits, index = _numbers()
  rng = jax.random.key(7)
  noise = np.asarray(jax.random.randint(rng, (7,), 0, SIZE))

  def loss(state, logits, index):
    return task.loss({"logits": logits}, {"index": index}, state, rng)

  def mean(logits):
    losses, metrics = _on_devices(loss, devices, state, logits, index)
    return losses.mean(), metrics

  (got, metrics), gradient = jax.value_and_grad(mean, has_aux=True)(logits)
  estimate = SIZE * np.mean(np.exp(_unit(logits) @ bank[noise].T / 0.3))
  np.testing.assert_allclose(metrics["normaliser"], estimate, rtol=1e-5)
  plain = functools.partial(
    _numpy_nce,
    index=index,
    bank=bank,
    noise=noise,
    z=known or estimate,
    temperature=0.3,
  )
  np.testing.assert_allclose(got, plain(logits), rtol=1e-5)
  _check_gradient(plain, logits, gradient)


def _check_gradient(plain, logits, gradient):
  """Compares a gradient with differences of a float64 function."""
  for place in np.ndindex(2, WIDTH):
    step = np.zeros(logits.shape)
    step[place] = 1e-5
    slope = (plain(logits + step) - plain(logits - step)) / 2e-5
    np.testing.assert_allclose(gradient[place], slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("devices", [1, 4])
def test_the_full_softmax_equals_numpys(devices):
  task = _task(objective="softmax", temperature=0.3)
  state = task.init(jax.random.key(0), _source())
  bank = np.asarray(state.by_sample["bank"][0], np.float64)
  logits, index = _numbers()

  def plain(logits):
    scores = _unit(logits.astype(np.float64)) @ bank.T / 0.3
    own = scores[np.arange(ROWS), index]
    return np.mean(np.log(np.exp(scores).sum(1)) - own)

  def loss(state, logits, index):
    return task.loss({"logits": logits}, {"index": index}, state, None)[0]

  def mean(logits):
    return _on_devices(loss, devices, state, logits, index).mean()

  got, gradient = jax.value_and_grad(mean)(logits)
  np.testing.assert_allclose(got, plain(logits), rtol=1e-5)
  _check_gradient(plain, logits, gradient)


@pytest.mark.parametrize("devices", [1, 4])
def test_rows_move_by_the_momentum_and_stay_unit(devices):
  task = _task(momentum=0.25)
  state = task.init(jax.random.key(0), _source())
  bank = np.asarray(state.by_sample["bank"][0])
  logits, index = _numbers()
  index[5] = index[2]  # Twice in one batch: the last one is written.
  metrics = np.full(ROWS, 11.0, np.float32)

  def update(state, logits, index, normaliser):
    metrics = {"normaliser": normaliser[0]}
    return task.update({"logits": logits}, {"index": index}, state, metrics)

  found = _on_devices(update, devices, state, logits, index, metrics)
  found_bank = np.asarray(found.by_sample["bank"]).reshape(-1, WIDTH)[:SIZE]
  expected = bank.copy()
  for row, place in zip(_unit(logits), index, strict=True):
    expected[place] = _unit(0.25 * bank[place] + 0.75 * row)
  np.testing.assert_allclose(found_bank, expected, atol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(found_bank, axis=1), 1, atol=1e-6)
  assert (found.shared["normaliser"] == 11.0).all(), "the first batch sets it"


def test_the_normaliser_moves_slowly_or_not_at_all():
  logits, index = _numbers()
  for normaliser, expected in {"ema": 99.1, "first": 100.0}.items():
    task = _task(normaliser=normaliser)
    state = task.init(jax.random.key(0), _source())
    state = state.replace(shared={"normaliser": jnp.float32(100.0)})

    def update(state, logits, index, task=task):
      metrics = {"normaliser": jnp.float32(10.0)}
      return task.update({"logits": logits}, {"index": index}, state, metrics)

    found = _on_devices(update, 1, state, logits, index)
    np.testing.assert_allclose(found.shared["normaliser"], expected, rtol=1e-6)


@pytest.mark.parametrize("devices", [1, 4])
def test_neighbours_vote_by_similarity(devices):
  task = _task(temperature=0.5)
  source = _source()
  state = task.init(jax.random.key(0), source)
  bank = np.asarray(state.by_sample["bank"][0])
  logits, index = _numbers()
  label = np.arange(ROWS, dtype=np.int32) % 3

  def scores(state, logits, index, label):
    batch = {"index": index, "label": label}
    return task.scores({"logits": logits}, batch, state)["accuracy"]

  found = _on_devices(scores, devices, state, logits, index, label)
  similarity = _unit(logits) @ bank.T
  for row, right in enumerate(np.ravel(found)):
    near = np.argsort(-similarity[row])[:5]
    votes = np.bincount(
      source.labels[near], np.exp(similarity[row][near] / 0.5), minlength=3
    )
    assert right == (votes.argmax() == label[row])


def test_without_labels_an_image_should_be_nearest_to_its_own_row():
  task = _task(num_classes=0)
  assert task.scored_on == "train"
  state = task.init(jax.random.key(0), _source())
  bank = np.asarray(state.by_sample["bank"][0])
  index = np.arange(ROWS, dtype=np.int32)
  logits = bank[index] * 3.0
  logits[3] = bank[9]

  def scores(state, logits, index):
    return task.scores({"logits": logits}, {"index": index}, state)["accuracy"]

  found = np.ravel(_on_devices(scores, 4, state, logits, index))
  np.testing.assert_array_equal(found, np.arange(ROWS) != 3)


def test_more_negatives_than_images_are_refused():
  with pytest.raises(ValueError, match="npid.negatives: found 22.*21 training"):
    _task(negatives=22).check(_source(), 64)
  _task(negatives=22, objective="softmax").check(_source(), 64)
