"""Checkpoints of a training, and rewinding: the only user of Orbax.

Of several processes the first one saves and restores, for all.

Each field of a state is one array a dtype, with a digest that is verified when
it is read: see `packed`. Orbax, a fifth of a second, is imported where it is
used: for a first checkpoint by the thread that writes it.
"""

from collections.abc import Iterable
from concurrent import futures
from typing import Any

import jax
import numpy as np
from absl import logging
from etils import epath

from sslprune_jax.runtime import devices, files, libraries, processes
from sslprune_jax.runtime.errors import LostFileError, UserError
from sslprune_jax.runtime.trees import Tree, named_leaves, with_leaves
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training import packed, saved
from sslprune_jax.training.state import TrainState


class CheckpointError(LostFileError, RuntimeError):
  """A checkpoint that is needed is missing or damaged."""


class Checkpoints:
  """The checkpoints of one training, saved in the background.

  Args:
    directory: folder, made when the first checkpoint is saved.
    keep: number of the newest to keep; None for all.

  Raises:
    UserError: the path is no UTF-8.
  """

  def __init__(self, directory: epath.PathLike, keep: int | None = 2):
    self.directory = files.in_utf8(directory)  # Orbax opens no others.
    self._keep = keep
    self._opened: Any = None
    self._saving: futures.Future | None = None

  @property
  def _manager(self) -> Any:
    self.wait()
    return self._open()

  def _open(self) -> Any:
    import orbax.checkpoint as ocp

    if self._opened is None:  # Many trainings are too short to save anything.
      self.directory.mkdir(parents=True, exist_ok=True)
      first = ocp.options.MultiprocessingOptions(
        active_processes={0}, barrier_sync_key_prefix="first"
      )
      # Copying, joining and compressing few arrays of weights gain nothing.
      alone = {"multiprocessing_options": first}
      kinds = ocp.type_handlers
      arrays = kinds.NumpyHandler(deepcopy_host_arrays=False)
      registry = kinds.create_type_handler_registry((np.ndarray, arrays))
      plain = ocp.PyTreeCheckpointHandler(
        use_compression=False,
        use_ocdbt=False,
        type_handler_registry=registry,
        **alone,
      )
      self._opened = ocp.CheckpointManager(
        self.directory,
        options=ocp.CheckpointManagerOptions(
          max_to_keep=self._keep,
          create=False,
          enable_async_checkpointing=False,  # There is a thread already.
          **alone,
        ),
        item_handlers=dict.fromkeys(saved.FIELDS, plain)
        | {"digests": ocp.JsonCheckpointHandler(**alone)},
      )
    return self._opened

  def save(self, update: int, state: TrainState) -> None:
    """Saves a state, replacing what an earlier, killed run left at `update`.

    The devices are told to copy it; a thread waits for that, and writes.

    Args:
      update: number of updates done: the folder's name.
      state: state on the devices, which may be donated next.
    """
    copied = saved.copy(state)
    by_sample = devices.to_global(copied["by_sample"])
    copied["by_sample"] = devices.on_host(by_sample)
    if not processes.is_first():
      return
    self.wait()
    thread = futures.ThreadPoolExecutor(1, "checkpoints")
    self._saving = thread.submit(self._write, update, copied)
    thread.shutdown(wait=False)  # It ends by itself.

  def _write(self, update: int, copied: dict[str, Any]) -> None:
    import orbax.checkpoint as ocp

    contents, items = {}, {}
    for field in [*copied]:  # The devices' copy of one goes before the next.
      arrays, held = packed.pack(jax.device_get(copied.pop(field)))
      if held:  # Orbax refuses empty trees: one is restored from `like`.
        contents[field], items[field] = held, ocp.args.PyTreeSave(arrays)
    self._remove(update)
    self._open().save(
      update,
      args=ocp.args.Composite(digests=ocp.args.JsonSave(contents), **items),
      force=True,
    )

  def save_durably(self, update: int, state: TrainState) -> None:
    """Saves a state and waits until it is on disk."""
    self.save(update, state)
    self.wait()

  def restore_newest(self, like: TrainState) -> TrainState | None:
    """Restores the newest checkpoint whose bytes are those that were saved.

    A damaged one is named in a warning and removed; one that is refused is not.

    Args:
      like: state of the same structure; gives the base key too.

    Returns:
      A state on the devices, or None when there is no checkpoint.
    """
    found = processes.from_first(lambda: self._newest_whole(like))
    return None if found is None else saved.restore(like, *found)

  def _newest_whole(self, like: TrainState) -> tuple[int, Any] | None:
    if not self.directory.exists():
      return None
    for update in sorted(self._manager.all_steps(), reverse=True):
      try:
        by_sample = devices.global_shapes(like.task_state.by_sample)
        expected = saved.fields(like) | {"by_sample": by_sample}
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
    leaves = processes.from_first(lambda: self._restore(update, like | carried))
    fields = {k: with_leaves(tree, leaves[k]) for k, tree in like.items()}
    return fields, saved.restore_task(like_task, leaves)

  def verify(self) -> None:
    """Reads every checkpoint.

    Raises:
      CheckpointError: there is none, or one is damaged.
    """
    if not self._manager.all_steps():
      raise CheckpointError(f"{self.directory}: found no checkpoint")
    for update in self._manager.all_steps():
      self._read(update)

  def path(self, update: int) -> epath.Path:
    """Returns the folder of one checkpoint."""
    return self.directory / str(update)

  def newest(self) -> epath.Path | None:
    """Returns the folder of the newest checkpoint, once it is written."""
    self.wait()  # The thread that writes it makes the folder of all, too.
    update = processes.from_first(
      lambda: self._manager.latest_step() if self.directory.exists() else None
    )
    return None if update is None else self.path(update)

  def wait(self) -> None:
    """Waits until what was saved is on disk, or says why it is not."""
    saving, self._saving = self._saving, None
    if saving is None:
      return
    try:
      saving.result()
    except Exception as error:  # noqa: BLE001 - Orbax's, or of those below it.
      raise UserError(
        f"{self.directory}: cannot be saved ({libraries.reason(error)}); the "
        "same command goes on from what was saved before"
      ) from error

  def close(self) -> None:
    """Waits, and ends Orbax's threads."""
    try:
      self.wait()
    finally:
      if self._opened is not None:
        self._opened.close()
        self._opened = None

  def delete(self) -> None:
    """Removes all: the training that they served is done."""
    self.close()
    if processes.is_first() and self.directory.exists():
      self.directory.rmtree()

  def _remove(self, update: int) -> None:
    if self.path(update).exists():
      self.path(update).rmtree()
      self._open().reload()

  def _restore(self, update: int, like: dict[str, Any]) -> dict[str, Any]:
    """Reads fields of a checkpoint, as named leaves laid out as `like`."""
    found = self._read(update, [k for k, v in like.items() if named_leaves(v)])
    try:
      return saved.fit(found, like)
    except ValueError as error:
      raise CheckpointError(f"{self.path(update)}: {error}") from None

  def _read(self, update: int, fields: Iterable[str] = ()) -> dict[str, Any]:
    """Reads fields, or all, as named leaves, and verifies them."""
    import orbax.checkpoint as ocp

    manager, said = self._manager, logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)  # Orbax tells of damage too, in pages.
    try:
      args = {"digests": ocp.args.JsonRestore()}
      if not fields:
        said_of = manager.restore(update, args=ocp.args.Composite(**args))
        fields = {name.split("/")[0] for name in said_of.digests}
      items = {field: ocp.args.PyTreeRestore() for field in fields}
      found = manager.restore(update, args=ocp.args.Composite(**args, **items))
      return packed.unpack_fields({f: found[f] for f in items}, found.digests)
    # Each kind of damage raises another one in Orbax and TensorStore.
    except Exception as error:  # noqa: BLE001
      words = f"{self.path(update)}: cannot be read ({libraries.reason(error)})"
      kind = UserError if libraries.is_refusal(error) else CheckpointError
      raise kind(words) from error
    finally:
      logging.set_verbosity(said)
