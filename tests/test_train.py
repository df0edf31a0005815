"""Tests of the step and the evaluation: masks, keys, devices."""

import functools
import os
import pathlib
import subprocess
import sys
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sslprune_jax import data, models
from sslprune_jax.data.sources import Images
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices as devices_lib
from sslprune_jax.tasks import base
from sslprune_jax.tasks.labels import Labels
from sslprune_jax.tasks.rotnet import RotNet
from sslprune_jax.training import loop
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step as step_lib

VIEWS = {
  "augment": data.Augment(padding=1),
  "normalise": functools.partial(data.normalise, mean=(0.5,), std=(0.5,)),
}
LABELS = Labels(num_outputs=10, **VIEWS)


def _masks(params):
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda m: rng.random(m.shape) < 0.5 if m.ndim else m,
    masks_lib.dense(params),
  )


def _state(network, optimizer, masks_of=_masks, step=0):
  variables = state_lib.initialize(network, (8, 8, 1), jax.random.key(0))
  masks = masks_of(variables["params"])
  return state_lib.create(
    variables, masks, optimizer, jax.random.key(1), step=step
  )


def _batch(devices=1, rows=8):
  rng = np.random.default_rng(1)
  batch = {
    "image": rng.integers(0, 256, (rows, 8, 8, 1), np.uint8),
    "label": rng.integers(0, 10, rows, np.int32),
    "index": np.arange(rows, dtype=np.int32),
  }
  return {
    k: jnp.asarray(v.reshape(devices, -1, *v.shape[1:]))
    for k, v in batch.items()
  }


def _vmapped(step):
  return jax.jit(
    jax.vmap(
      step,
      axis_name=devices_lib.AXIS,
      in_axes=(state_lib.AXES, 0),
      out_axes=(state_lib.AXES, None),
    )
  )


def _sgd_step(task=LABELS, axis=None, rate=0.05):
  network = models.build("convnet", task.num_outputs, batch_norm_axis=axis)
  optimizer = optimizer_lib.optimizer("sgd", weight_decay=0.01, nesterov=True)
  schedule = optimizer_lib.schedule("constant", rate, length=100)
  return (
    network,
    optimizer,
    step_lib.make_step(network, task, optimizer, schedule),
  )


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_pruned_weights_and_moments_stay_zero_for_100_updates(name):
  network = models.build("convnet", 10)
  optimizer = optimizer_lib.optimizer(name, weight_decay=0.01, nesterov=True)
  step = _vmapped(
    step_lib.make_step(
      network,
      LABELS,
      optimizer,
      optimizer_lib.schedule("constant", 0.01, length=1),
    )
  )
  state = first = _state(network, optimizer)
  for _ in range(100):
    state, _ = step(state, _batch())
  structure = jax.tree.structure(state.params)
  checked = 0
  # Params, and every tree of moments inside the optimizer's state.
  for tree in jax.tree.leaves(
    (state.params, state.opt_state),
    is_leaf=lambda t: jax.tree.structure(t) == structure,
  ):
    if jax.tree.structure(tree) != structure:
      continue  # Adam's count
    checked += 1
    for mask, leaf in zip(
      jax.tree.leaves(state.masks), jax.tree.leaves(tree), strict=True
    ):
      assert not np.asarray(leaf)[~np.asarray(mask)].any()
  assert checked == {"sgd": 2, "adam": 3}[name]
  before, after = (
    np.asarray(s.params["trunk"]["stage2"]["conv"]["kernel"])
    for s in (first, state)
  )
  assert (before != after)[before < 0].all()


def test_create_owns_its_buffers():
  network, optimizer, step = _sgd_step()
  variables = state_lib.initialize(network, (8, 8, 1), jax.random.key(0))
  masks = masks_lib.dense(variables["params"])
  key = jax.random.key(1)
  state = state_lib.create(variables, masks, optimizer, key)
  step_lib.pmap(step)(state, jax.device_put(_batch(), devices_lib.split()))
  # The state was donated; what it was made from is still there.
  jax.tree.map(np.asarray, (variables, masks))
  jax.random.bits(key)


def test_one_program_begins_all_trainings_of_a_network():
  network, optimizer, _ = _sgd_step()
  variables = state_lib.initialize(network, (8, 8, 1), jax.random.key(0))
  masks, traced = masks_lib.dense(variables["params"]), []

  def init(params):
    traced.append(1)
    return optimizer.init(params)

  counted = optax.GradientTransformation(init, optimizer.update)
  state_lib.create(variables, masks, counted, jax.random.key(1))
  # Another round, read from the disk.
  variables, masks = jax.device_get((variables, masks))
  state_lib.create(variables, masks, counted, jax.random.key(2))
  assert traced == [1]


def test_several_devices_see_what_one_sees():
  outputs = []
  for devices in (1, 4):
    network, optimizer, step = _sgd_step(axis=devices_lib.AXIS)
    state, metrics = _vmapped(step)(_state(network, optimizer), _batch(devices))
    outputs.append((state.params, state.batch_stats, metrics))
  chex.assert_trees_all_close(*outputs, rtol=1e-7, atol=1e-5)


def test_the_rate_follows_the_states_update():
  network = models.build("convnet", 10)
  optimizer = optimizer_lib.optimizer("adam", weight_decay=0.0)
  schedule = optimizer_lib.schedule("step", 1e-3, length=20, milestones=(5, 10))
  step = _vmapped(step_lib.make_step(network, LABELS, optimizer, schedule))
  for start, expected in {0: 1e-3, 4: 1e-3, 5: 1e-4, 12: 1e-5}.items():
    state = _state(network, optimizer, step=start)
    state, metrics = step(state, _batch())
    assert metrics["learning_rate"] == pytest.approx(expected)
    assert state.step == start + 1


def test_golden_losses():
  # When these move, the commit says why.
  golden = {"labels": 2.246, "rotnet": 1.465}
  tasks = {"labels": LABELS, "rotnet": RotNet(num_outputs=4, copies=4, **VIEWS)}
  for name, task in tasks.items():
    network, optimizer, step = _sgd_step(task)
    _, metrics = _vmapped(step)(_state(network, optimizer), _batch())
    assert metrics["loss"] == pytest.approx(golden[name], abs=0.01), name


def test_evaluation_counts_each_image_once():
  images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), np.uint8)
  source = data.ArraySource(images, np.arange(50, dtype=np.int32) % 10)
  network, optimizer, _ = _sgd_step()
  state = _state(network, optimizer)
  step = step_lib.make_evaluation_step(network, LABELS)
  scores = [
    loop.evaluate(
      types.SimpleNamespace(task=LABELS, batch_size=size, evaluation_step=step),
      state,
      Images(train=source, test=source),
    )
    for size in (1, 7, 50, 64)
  ]
  for other in scores[1:]:
    assert other["accuracy"] == pytest.approx(scores[0]["accuracy"], abs=1e-7)
    assert other["loss"] == pytest.approx(scores[0]["loss"], rel=1e-5)


def test_the_tasks_state_is_read_by_its_loss_and_updated_after():
  class Counting(Labels):
    def loss(self, outputs, batch, task_state, rng):
      loss, metrics = super().loss(outputs, batch, task_state, rng)
      return loss, {**metrics, "seen": task_state.shared["seen"]}

    def update(self, outputs, batch, task_state, metrics):
      seen = metrics["seen"] + 1.0
      return base.TaskState(shared={"seen": seen})

  network, optimizer, step = _sgd_step(Counting(num_outputs=10, **VIEWS))
  state = _state(network, optimizer).replace(
    task_state=base.TaskState(shared={"seen": jnp.zeros(())})
  )
  for seen in range(3):
    state, metrics = _vmapped(step)(state, _batch())
    assert metrics["seen"] == seen


@pytest.mark.parametrize(
  "name, wrong, words",
  [
    (
      "image",
      jnp.zeros((1, 8, 8, 8), jnp.uint8),
      r"rank 3.*expected 4.*\[image\]",
    ),
    ("image", jnp.zeros((1, 8, 8, 8, 1)), r"float32.*uint8.*\[image\]"),
    ("label", jnp.zeros((1, 8, 2, 2), jnp.int32), r"rank 3.*\[label\]"),
    (
      "index",
      jnp.zeros((1, 8, 1), jnp.int32),
      r"rank 2.*expected 1.*\[index\]",
    ),
    ("index", jnp.zeros((1, 7), jnp.int32), "prefix"),
  ],
)
def test_a_batch_of_another_shape_is_refused_when_traced(name, wrong, words):
  network, optimizer, step = _sgd_step()
  with pytest.raises(AssertionError, match=words):
    _vmapped(step)(_state(network, optimizer), _batch() | {name: wrong})


def test_a_head_of_another_shape_is_refused():
  network, optimizer, _ = _sgd_step()
  state = _state(network, optimizer)
  head = jax.tree.map(lambda leaf: leaf[None], state.params["head"])
  with pytest.raises(AssertionError, match="shape"):
    state_lib.begin_epoch(state, base.TaskState(), head)


def test_rotation_turns_counter_clockwise():
  image = jnp.asarray(np.arange(4).reshape(1, 2, 2, 1))
  batch = {"image": image, "label": jnp.zeros(1, jnp.int32)}
  from sslprune_jax.tasks import rotnet

  view = rotnet.all_rotations(batch)
  np.testing.assert_array_equal(view["label"], [0, 1, 2, 3])
  np.testing.assert_array_equal(view["image"][1, ..., 0], [[1, 3], [0, 2]])
  turned = image
  for _ in range(4):
    turned = rotnet.rotations(turned)[1]
  np.testing.assert_array_equal(turned, image)


def test_one_random_angle_an_image():
  task = RotNet(num_outputs=4, copies=1, **VIEWS)
  batch = {k: v[0] for k, v in _batch(rows=64).items()}
  keys = jax.random.split(jax.random.key(0), 64)
  view = task.view(keys, batch)
  assert set(np.asarray(view["label"])) == {0, 1, 2, 3}
  plain = LABELS.view(keys, batch)["image"]
  for i, angle in enumerate(view["label"]):
    np.testing.assert_array_equal(
      view["image"][i], np.rot90(plain[i], int(angle))
    )
  assert task.rows == 1


_PROBE = """
import sys
import chex
import jax
import numpy as np
import optax
sys.path.insert(0, "tests")
from test_train import LABELS, _batch, _state
from sslprune_jax import models
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step as step_lib

assert jax.device_count() == 3
network = models.build("convnet", 10, probed="stage2")
optimizer = optimizer_lib.optimizer(
  sys.argv[1], weight_decay=0.1, frozen_trunk=True)
schedule = optimizer_lib.schedule("constant", 0.1, length=9)
step = step_lib.pmap(
  step_lib.make_step(network, LABELS, optimizer, schedule))
before = _state(network, optimizer)
noise = np.random.default_rng(0)
before = jax.device_get(before.replace(
  rng=None,
  batch_stats=jax.tree.map(
    lambda x: x + noise.uniform(size=x.shape).astype(np.float32),
    before.batch_stats)))
state = state_lib.place(before.replace(rng=jax.random.key(1)))
for _ in range(3):
  state, _ = step(state, _batch(devices=3, rows=24))
for tree in ("params", "batch_stats"):
  chex.assert_trees_all_equal(
    getattr(state, tree)["trunk"], getattr(before, tree)["trunk"])
moved = state.params["head"]["kernel"] != before.params["head"]["kernel"]
assert np.mean(moved) > 0.9
assert np.any(
  state.batch_stats["scale"]["mean"] != before.batch_stats["scale"]["mean"])
"""


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_probe_changes_nothing_of_the_trunk(name):
  # On three devices, where the mean of equal numbers is not always that number.
  flags = "--xla_force_host_platform_device_count=3"
  subprocess.run(
    [sys.executable, "-c", _PROBE, name],
    check=True,
    cwd=pathlib.Path(__file__).parents[1],
    env={**os.environ, "XLA_FLAGS": flags},
  )
