"""Distil: the features of the network that a study starts from."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import bits, die_after, save_drawn, short, traced_once

from sslprune_jax import data, tasks
from sslprune_jax.features import moments
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import run
from sslprune_jax.tasks import distil


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  """A narrow network for digits that nobody trained."""
  path = tmp_path_factory.mktemp("distil") / "theirs.npz"
  save_drawn(path)
  return path


def _config(file, **prune):
  config = short()
  config.start, config.tasks = str(file), ("distil",)
  config.model.name = ""
  config.prune.update(train_dense=False, rewind="0it", rounds=2, rate=0.5)
  config.prune.update(prune)
  config.train.update(duration="40it", batch_size=32, learning_rate=0.05)
  return config


def _make(file, **settings):
  config = _config(file)
  config.model.name = "convnet"
  config.distil.update(settings)
  source = data.load(data.Spec.from_config(config.dataset, "train"))
  ticket = tickets.load(file)
  return tasks.make(config, "distil", source, start=ticket), source, ticket


def test_moments_are_those_of_numpy_whatever_the_batch(file):
  task, source, ticket = _make(file)
  source = data.subset(source, np.arange(70))
  outputs = task.network.apply(
    task.teacher, task.normalise(jnp.asarray(source.images)), train=False
  )
  step = moments.make_step(task.network, task.normalise, ("features", "stage2"))
  variables = devices.replicate(task.teacher)
  for batch in (32, 70):  # Of the first the last is padded.
    found = moments.measure(step, variables, source, batch)
    for layer, (mean, deviation) in found.items():
      rows = np.float64(outputs[layer]).reshape(-1, outputs[layer].shape[-1])
      np.testing.assert_allclose(mean, rows.mean(0), atol=1e-6)
      np.testing.assert_allclose(deviation, rows.std(0), atol=1e-6)
  np.testing.assert_allclose(
    ticket.features(source.images), outputs["features"], atol=1e-5
  )


def test_the_cosine_is_of_standardised_features_at_every_place():
  teacher = jnp.float32([[[1, 0], [0, 2]]])  # One image of two places.
  student = jnp.float32([[[1, 0], [2, 0]]])
  mean, scale = jnp.float32([0, 1]), jnp.float32([1, 0.5])
  # (1, -0.5) and itself; (0, 0.5) and (2, -0.5).
  expected = (1 - 0.25 / (0.5 * (4 + 0.25) ** 0.5)) / 2
  found = distil.cosine(student, teacher, mean, scale)
  np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_a_channel_that_does_not_move_is_left_out():
  found = moments.inverse(jnp.float32([2, 0, 1e-4, 4]))
  np.testing.assert_array_equal(found, np.float32([0.5, 0, 0, 0.25]))


def test_the_pruned_network_learns_what_the_dense_one_gives(file, tmp_path):
  with pytest.MonkeyPatch.context() as patch:
    traces = traced_once(patch)
    found = run.run(_config(file), tmp_path / "whole")
  assert traces == ["Distil"]
  cosines = {x["round"]: x["value"] for x in found if x["metric"] == "cosine"}
  assert cosines[0] == pytest.approx(1, abs=1e-5)
  config = _config(file, method="one-shot", densities=(0.5, 0.25))
  cut = run.run(config, tmp_path / "cut")
  at_once = {x["round"]: x["value"] for x in cut if x["metric"] == "cosine"}
  assert cosines[2] > at_once[2] + 0.05 and at_once[2] < at_once[1] < 1
  # The teacher is in no checkpoint, and killed is uninterrupted.
  with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
    die_after(13, patch)
    run.run(_config(file), tmp_path / "killed")
  saved = tmp_path / "killed/seed_0/distil/round_01/checkpoint"
  names = {path.name for path in saved.glob("*/*") if path.is_dir()}
  assert {"params", "shared"} <= names and "fixed" not in names
  run.run(_config(file), tmp_path / "killed")
  assert bits(tmp_path / "killed") == bits(tmp_path / "whole")


def test_without_a_file_or_a_layer_it_is_refused(file, tmp_path):
  config = short()
  config.tasks = ("distil",)
  with pytest.raises(
    ConfigError, match="found distil, .*expected config.start"
  ):
    run.run(config, tmp_path)
  config = _config(file)
  config.distil.layers = ("stage9",)
  with pytest.raises(ConfigError, match="distil.layers: found 'stage9', exp"):
    run.run(config, tmp_path)
