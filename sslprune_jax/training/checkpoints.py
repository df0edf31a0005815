"""Checkpoints of a training, and rewinding: the only user of Orbax.

Of several processes the first one saves and restores, for all.

Orbax restores a checkpoint with a flipped bit without an error, so a digest of
every array is kept beside the arrays and verified when they are read.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath

from sslprune_jax.runtime import devices, files, processes
from sslprune_jax.runtime.errors import LostFileError, UserError
from sslprune_jax.runtime.trees import (
  Tree,
  digests,
  named_leaves,
  with_leaves,
)
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training import state as state_lib
from sslprune_jax.training.state import TrainState


class CheckpointError(LostFileError, RuntimeError):
  """A checkpoint that is needed is missing or damaged."""


class Checkpoints:
  """The checkpoints of one training, saved in the background.

  Args:
    directory: folder, made when the first checkpoint is saved.
    keep: number of the newest to keep; None for all.
  """

  def __init__(self, directory: epath.PathLike, keep: int | None = 2):
    self.directory = files.absolute(directory)  # Orbax refuses others.
    self._keep = keep
    self._opened: ocp.CheckpointManager | None = None

  @property
  def _manager(self) -> ocp.CheckpointManager:
    # Opening costs threads, and many trainings are too short to save anything.
    if self._opened is None:
      self.directory.mkdir(parents=True, exist_ok=True)
      alone = ocp.options.MultiprocessingOptions(
        active_processes={0}, barrier_sync_key_prefix="first"
      )
      self._opened = ocp.CheckpointManager(
        self.directory,
        options=ocp.CheckpointManagerOptions(
          max_to_keep=self._keep, create=False, multiprocessing_options=alone
        ),
      )
    return self._opened

  def save(self, update: int, state: TrainState) -> None:
    """Saves a state, replacing what an earlier, killed run left at `update`.

    Args:
      update: number of updates done: the folder's name.
      state: copied to the host before this returns, so it may be donated next.
    """
    by_sample = devices.on_host(devices.to_global(state.task_state.by_sample))
    if not processes.is_first():
      return
    fields = state_lib.on_host(state, by_sample)
    # Orbax refuses empty trees: an empty one is restored from `like`.
    fields = {k: v for k, v in fields.items() if jax.tree.leaves(v)}
    items = {name: ocp.args.StandardSave(tree) for name, tree in fields.items()}
    with self._saving():
      self._remove(update)
      self._manager.save(
        update,
        args=ocp.args.Composite(
          digests=ocp.args.JsonSave(digests(fields)), **items
        ),
        force=True,
      )

  def save_durably(self, update: int, state: TrainState) -> None:
    """Saves a state and waits until it is on disk."""
    self.save(update, state)
    self.wait()

  def restore_newest(self, like: TrainState) -> TrainState | None:
    """Restores the newest checkpoint whose bytes are those that were saved.

    One that is truncated or damaged is named in a warning and removed.

    Args:
      like: state of the same structure; gives the base key too.

    Returns:
      A state on the devices, or None when there is no checkpoint.
    """
    found = processes.from_first(lambda: self._newest_whole(like))
    return None if found is None else state_lib.restore(like, *found)

  def _newest_whole(
    self, like: TrainState
  ) -> tuple[int, dict[str, Any]] | None:
    if not self.directory.exists():
      return None
    for update in sorted(self._manager.all_steps(), reverse=True):
      try:
        by_sample = devices.global_shapes(like.task_state.by_sample)
        expected = state_lib.on_host(like, by_sample)
        return update, self._restore(update, expected)
      except CheckpointError as error:
        logging.warning("%s; the one before it is used", error)
        self._remove(update)
    return None

  def rewind(
    self, update: int, like: dict[str, Tree], like_task: TaskState
  ) -> tuple[dict[str, Tree], TaskState]:
    """Restores W_k: weights and statistics after `update` updates.

    What the task carried along is rewound with them: a late memory bank would
    tell the early weights what they will learn.

    Args:
      update: k.
      like: variables of the same structure.
      like_task: the task's state, of the same structure.

    Returns:
      `{"params", "batch_stats"}` and the task's state, on the host.

    Raises:
      CheckpointError: it is missing or damaged.
    """
    like = {name: like[name] for name in ("params", "batch_stats")}
    carried = {"shared": like_task.shared, "by_sample": like_task.by_sample}
    like = jax.device_get(like | carried)
    leaves = processes.from_first(lambda: self._restore(update, like))
    fields = {
      name: with_leaves(like[name], leaves[name])
      for name in ("params", "batch_stats")
    }
    return fields, state_lib.restore_task(like_task, leaves)

  def verify(self) -> None:
    """Reads every checkpoint.

    Raises:
      CheckpointError: there is none, or one is damaged.
    """
    if not self._manager.all_steps():
      raise CheckpointError(f"{self.directory}: found no checkpoint")
    for update in self._manager.all_steps():
      there = {path.name for path in self.path(update).iterdir()}
      fields = there & {*state_lib.SAVED, "shared", "by_sample"}
      self._read(update, {name: ocp.args.StandardRestore() for name in fields})

  def path(self, update: int) -> epath.Path:
    """Returns the folder of one checkpoint."""
    return self.directory / str(update)

  def newest(self) -> epath.Path | None:
    """Returns the folder of the newest checkpoint, once it is written."""

    def latest():
      if not self.directory.exists():
        return None
      self.wait()
      return self._manager.latest_step()

    update = processes.from_first(latest)
    return None if update is None else self.path(update)

  def wait(self) -> None:
    """Waits until what was saved is on disk."""
    if self._opened is not None:
      with self._saving():
        self._opened.wait_until_finished()

  def close(self) -> None:
    """Waits, and ends the threads."""
    self.wait()
    if self._opened is not None:
      self._opened.close()
      self._opened = None

  def delete(self) -> None:
    """Removes all: the training that they served is done."""
    self.close()
    if processes.is_first() and self.directory.exists():
      self.directory.rmtree()

  @contextlib.contextmanager
  def _saving(self) -> Iterator[None]:
    """Says in a line what Orbax, or a library below it, could not write."""
    try:
      yield
    except Exception as error:  # noqa: BLE001
      raise UserError(
        f"{self.directory}: cannot be saved ({_reason(error)}); the same "
        "command goes on from what was saved before"
      ) from error

  def _remove(self, update: int) -> None:
    if self.path(update).exists():
      self.wait()
      self.path(update).rmtree()
      self._manager.reload()

  def _restore(
    self, update: int, like: dict[str, Any]
  ) -> dict[str, dict[str, np.ndarray]]:
    """Restores and verifies some fields of one checkpoint, as named leaves."""
    saved = {k: v for k, v in like.items() if jax.tree.leaves(v)}
    items = {k: ocp.args.StandardRestore(tree) for k, tree in saved.items()}
    if "by_sample" in items:  # As it is: of another number of devices, maybe.
      items["by_sample"] = ocp.args.StandardRestore()
    fields = self._read(update, items)
    if "by_sample" in fields:
      fields["by_sample"] = jax.tree.map(
        state_lib.lay_out_again, fields["by_sample"], like["by_sample"]
      )
    return {k: named_leaves(tree) for k, tree in (like | fields).items()}

  def _read(
    self, update: int, items: dict[str, ocp.args.StandardRestore]
  ) -> dict[str, Any]:
    """Reads fields of a checkpoint, and holds them against their digests."""
    said = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)  # Orbax tells of damage too, in pages.
    try:
      restored = self._manager.restore(
        update,
        args=ocp.args.Composite(digests=ocp.args.JsonRestore(), **items),
      )
      expected = restored.digests
      fields = {name: restored[name] for name in items}
    # Each kind of damage raises another one in Orbax and TensorStore.
    except Exception as error:  # noqa: BLE001
      words = f"{self.path(update)}: cannot be read ({_reason(error)})"
      raise CheckpointError(words) from error
    finally:
      logging.set_verbosity(said)
    for name, found in digests(fields).items():
      if found != expected.get(name):
        raise CheckpointError(
          f"{self.path(update)}: {name} is damaged: found another digest"
        )
    return fields


def _reason(error: Exception) -> str:
  return str(error).strip().split("\n")[0][:200]  # Specifications follow.
