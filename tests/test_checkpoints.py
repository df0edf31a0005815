"""What a checkpoint gives back, on another number of devices too."""

import errno
import functools
import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import models
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.tasks import base
from sslprune_jax.training import checkpoints, optimizer, packed
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


@functools.partial(jax.jit, donate_argnums=0)
def _count(tree):
  return jax.tree.map(lambda leaf: leaf + jnp.ones_like(leaf), tree)


def test_a_state_may_be_donated_while_it_is_saved(tmp_path):
  state = _state(1, np.zeros((2, 1), np.float32))
  variables = jax.tree.map(np.array, state.variables)
  saved = checkpoints.Checkpoints(tmp_path / "checkpoint", keep=None)
  for update in range(6):
    saved.save(update, state)
    # In place: what was copied too late would be of later updates.
    state = state.replace(
      params=_count(state.params), task_state=_count(state.task_state)
    )
  expected = variables["params"]
  for update in range(6):
    found, carried = saved.rewind(update, variables, state.task_state)
    jax.tree.map(np.testing.assert_array_equal, found["params"], expected)
    assert carried.shared["normaliser"] == update
    assert (carried.by_sample["bank"] == update).all()
    expected = jax.tree.map(lambda leaf: leaf + leaf.dtype.type(1), expected)
  saved.close()


def test_a_field_is_one_array_a_dtype(tmp_path):
  saved = checkpoints.Checkpoints(tmp_path / "checkpoint")
  saved.save_durably(1, _state(1, np.zeros((2, 1), np.float32)))
  saved.close()
  assert {
    path.parent.name: {leaf["key_metadata"][0]["key"] for leaf in leaves}
    for path in saved.path(1).glob("*/_METADATA")
    for leaves in [json.loads(path.read_text())["tree_metadata"].values()]
  } == {
    "params": {"float32"},
    "batch_stats": {"float32"},
    "opt_state": {"float32"},
    "masks": {"bool"},
    "shared": {"float32"},
    "by_sample": {"float32"},
  }


@pytest.mark.parametrize("field", ["params", "shared", "digests"])
def test_a_field_whose_folder_is_gone_is_missed(field, tmp_path):
  saved = checkpoints.Checkpoints(tmp_path)
  saved.save_durably(1, _state(1, np.zeros((2, 1), np.float32)))
  saved.verify()
  shutil.rmtree(tmp_path / "1" / field)
  with pytest.raises(checkpoints.CheckpointError, match="1: cannot be read"):
    saved.verify()
  saved.close()


def test_a_disk_that_is_full_is_said_in_a_line_once(tmp_path, monkeypatch):
  saved = checkpoints.Checkpoints(tmp_path / "checkpoint")
  state = _state(1, np.zeros((2, 1), np.float32))
  with monkeypatch.context() as patch:
    full = OSError(errno.ENOSPC, "No space left on device")
    patch.setattr(packed, "pack", functools.partial(_fail, full))
    saved.save(1, state)  # The thread that writes has nobody to tell.
    words = f"{tmp_path}/checkpoint: cannot be saved .*No space left.*goes on"
    with pytest.raises(UserError, match=words) as error:
      saved.wait()
  assert "\n" not in str(error.value)
  saved.save_durably(2, state)
  assert saved.newest().name == "2"
  saved.close()


def _fail(error, *_):
  raise error


@pytest.mark.parametrize(
  "error, words",
  [
    (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle"),
    (MemoryError(), "MemoryError"),
    (ValueError("UNAVAILABLE: busy"), "UNAVAILABLE: busy"),
    (ValueError("x [os_error_code='24']"), "Too many open files"),
  ],
)
def test_what_cannot_be_read_now_is_not_taken_for_damaged(
  error, words, tmp_path, monkeypatch
):
  saved = checkpoints.Checkpoints(tmp_path / "checkpoint")
  state = _state(1, np.zeros((2, 1), np.float32))
  for update in (1, 2):
    saved.save_durably(update, state)
  with monkeypatch.context() as patch:
    patch.setattr(packed, "unpack_fields", functools.partial(_fail, error))
    with pytest.raises(UserError, match=f"2: cannot be read .*{words}"):
      saved.restore_newest(state)
    damaged = ValueError("DATA_LOSS: truncated")
    patch.setattr(packed, "unpack_fields", functools.partial(_fail, damaged))
    with pytest.raises(checkpoints.CheckpointError):
      saved.verify()
  assert saved.path(1).exists() and saved.path(2).exists()
  assert saved.restore_newest(state) is not None
  saved.close()


def test_what_another_network_left_is_refused_and_named(tmp_path):
  saved = checkpoints.Checkpoints(tmp_path / "checkpoint")
  state = _state(1, np.zeros((2, 1), np.float32))
  saved.save_durably(1, state)
  variables = jax.tree.map(np.array, state.variables)
  kernel = variables["params"]["head"]["kernel"]
  others = (
    {"kernel": kernel, "bias": np.zeros(4, np.float32)},
    {"kernel": kernel},
    {"kernel": kernel, "b": np.zeros(3, np.float32)},
  )
  for head in others:
    variables["params"]["head"] = head
    with pytest.raises(
      checkpoints.CheckpointError, match="checkpoint/1: params is of another"
    ):
      saved.rewind(1, variables, state.task_state)
  saved.close()


_SAVES = """
import resource
import numpy as np
from sslprune_jax import cli
from sslprune_jax.training import checkpoints, saved
from test_checkpoints import _state
def work():
  state = _state(1, np.zeros((2, 1), np.float32))
  saved.copy(state)  # Compiled: JAX warns of its own cache, also in a line.
  resource.setrlimit(resource.{name}, ({limit}, {limit}))
  checkpoints.Checkpoints({folder!r}).save_durably(7, state)
cli.run(work)
"""


@pytest.mark.parametrize(
  "name, limit, why",
  [
    ("RLIMIT_FSIZE", 300, "File too large"),
    *(("RLIMIT_NOFILE", n, "Too many open files") for n in (20, 26)),
  ],
)
def test_what_the_disk_refuses_is_one_line(name, limit, why, tmp_path):
  # Orbax's threads, and what they leave, told it in 600 lines of their own.
  code = _SAVES.format(name=name, limit=limit, folder=str(tmp_path / "x"))
  run = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parent,
  )
  assert run.returncode == 1
  line = rf"error: {tmp_path}/x: cannot be saved \((\[Errno \d+\] )?{why}.*\); "
  assert re.fullmatch(line + r"the same command goes on from .*\n", run.stderr)
