"""What a checkpoint gives back on another number of devices."""

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import models
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.tasks import base
from sslprune_jax.training import checkpoints, optimizer
from sslprune_jax.training import state as state_lib


def _state(devices, bank):
  """Makes a state whose rows lie as on that many devices."""
  rows = -(-len(bank) // devices)
  padded = np.pad(bank, ((0, devices * rows - len(bank)), (0, 0)))
  network = models.build("convnet", 3)
  variables = state_lib.initialize(network, (8, 8, 1), jax.random.key(0))
  return state_lib.create(
    variables,
    masks_lib.dense(variables["params"]),
    optimizer.optimizer("sgd", weight_decay=0.0),
    jax.random.key(1),
    task_state=base.TaskState(
      shared={"normaliser": jnp.float32(bank[0, 0])},
      by_sample={"bank": padded.reshape(devices, rows, -1)},
    ),
  )


def test_rows_by_sample_are_restored_on_another_number_of_devices(tmp_path):
  bank = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
  saved = checkpoints.Checkpoints(tmp_path / "checkpoint")
  saved.save_durably(7, _state(4, bank))  # 4 x 3 rows, two of them padding.
  for devices in (1, 3, 8):
    found = saved.restore_newest(_state(devices, np.zeros_like(bank)))
    rows = np.asarray(found.task_state.by_sample["bank"])
    assert rows.shape[0] == devices
    np.testing.assert_array_equal(rows.reshape(-1, 4)[:10], bank)
    assert found.task_state.shared["normaliser"] == bank[0, 0]
    assert found.step == 7
  saved.close()


def test_the_newest_are_kept(tmp_path):
  bank = np.zeros((2, 1), np.float32)
  for keep, expected in {2: [3, 4], None: [1, 2, 3, 4]}.items():
    saved = checkpoints.Checkpoints(tmp_path / f"{keep}", keep=keep)
    for update in (1, 2, 3, 4):
      saved.save_durably(update, _state(1, bank))
    saved.close()
    names = [path.name for path in (tmp_path / f"{keep}").iterdir()]
    assert sorted(map(int, names)) == expected
