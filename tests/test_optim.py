"""Tests of durations, schedules and optimizers."""

import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax.config import durations
from sslprune_jax.training import optimizer as optimizer_lib


@pytest.mark.parametrize(
  "batch_size, expected",
  # The paper's rewind point; 937.5 and 468.75 are rounded half up.
  [
    (1536, 2500),
    (768, 5000),
    (1024, 3750),
    (2048, 1875),
    (4096, 938),
    (8192, 469),
  ],
)
def test_samples_are_the_papers_updates(batch_size, expected):
  updates = durations.to_updates(
    "3840000samples", batch_size=batch_size, num_images=1_281_167
  )
  assert updates == expected


def test_epochs_are_whole_batches():
  assert durations.to_updates("2ep", batch_size=100, num_images=1050) == 20
  assert durations.to_updates("0.5ep", batch_size=100, num_images=1050) == 5
  assert durations.to_updates("7it", batch_size=100, num_images=1050) == 7


@pytest.mark.parametrize("duration", ["5", "5 ep", "ep", "-1it", "5epochs", ""])
def test_a_duration_without_its_unit_is_refused(duration):
  with pytest.raises(ValueError, match="its unit"):
    durations.to_updates(duration, batch_size=1, num_images=1)


def test_step_schedule_with_warmup_against_a_table():
  rate = optimizer_lib.schedule(
    "step", 1.0, length=100, warmup=4, milestones=(10, 20), decay=0.1
  )
  table = {
    0: 0.25,
    1: 0.5,
    3: 1.0,
    9: 1.0,
    10: 0.1,
    19: 0.1,
    20: 0.01,
    99: 0.01,
  }
  for update, expected in table.items():
    assert rate(jnp.int32(update)) == pytest.approx(expected)


def test_two_milestones_at_one_update_decay_twice():
  rate = optimizer_lib.schedule(
    "step", 1.0, length=100, milestones=(10, 10, 20), decay=0.5
  )
  found = [float(rate(jnp.int32(update))) for update in (9, 10, 19, 20)]
  assert found == [1.0, 0.25, 0.25, 0.125]


def test_cosine_ends_at_zero_and_constant_stays():
  cosine = optimizer_lib.schedule("cosine", 2.0, length=10)
  np.testing.assert_allclose(
    [cosine(jnp.int32(u)) for u in (0, 5, 10)], [2, 1, 0], atol=1e-6
  )
  constant = optimizer_lib.schedule("constant", 2.0, length=10)
  assert constant(jnp.int32(9)) == 2.0


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match="'poly'.*'cosine'"):
    optimizer_lib.schedule("poly", 1.0, length=1)
  with pytest.raises(ValueError, match="'lars'.*'adam'"):
    optimizer_lib.optimizer("lars", weight_decay=0.0)


def test_sgd_is_pytorchs():
  # d = g + wd * w; v = m * v + d; nesterov: d + m * v.
  optimizer = optimizer_lib.optimizer(
    "sgd", weight_decay=0.5, momentum=0.9, nesterov=True
  )
  weight = jnp.float32([2.0])
  state = optimizer.init(weight)
  velocity = 0.0
  for gradient in (1.0, -3.0):
    direction, state = optimizer.update(jnp.float32([gradient]), state, weight)
    decayed = gradient + 0.5 * 2.0
    velocity = 0.9 * velocity + decayed
    np.testing.assert_allclose(direction, [decayed + 0.9 * velocity], rtol=1e-6)


def test_adam_decays_through_its_moments():
  # Coupled: a large weight with no gradient moves by the whole rate, as any.
  optimizer = optimizer_lib.optimizer("adam", weight_decay=0.1)
  weight = jnp.float32([5.0, 0.0])
  direction, _ = optimizer.update(jnp.zeros(2), optimizer.init(weight), weight)
  np.testing.assert_allclose(direction, [1.0, 0.0], atol=1e-5)


def test_an_own_head_has_no_momentum_under_sgd():
  params = {"trunk": jnp.float32([1.0]), "head": jnp.float32([1.0])}
  gradients = {"trunk": jnp.float32([2.0]), "head": jnp.float32([2.0])}
  optimizer = optimizer_lib.optimizer(
    "sgd", weight_decay=0.5, nesterov=False, own_head=True
  )
  state = optimizer.init(params)
  for trunk in (2.5, 2.5 + 0.9 * 2.5):
    direction, state = optimizer.update(gradients, state, params)
    np.testing.assert_allclose(direction["trunk"], [trunk], rtol=1e-6)
    np.testing.assert_allclose(direction["head"], [2.5], rtol=1e-6)
