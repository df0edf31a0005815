"""Checkpoints of Flax: its msgpack, and folders of Orbax."""

from typing import Any

import jax
import numpy as np
from etils import epath
from flax import serialization

from sslprune_jax.exchange.tensors import (
  Checkpoint,
  CheckpointError,
  in_memory,
)
from sslprune_jax.runtime import files, libraries

_METADATA = "_METADATA"  # The file of Orbax that lists the arrays of a folder.
# Of a train state these are the network; the optimizer's are not read.
_NETWORK = ("params", "batch_stats")


def read_msgpack(content: bytes, path: str) -> Checkpoint:
  """Reads what `flax.serialization` wrote.

  Args:
    content: bytes of the file.
    path: its path, for errors.

  Raises:
    CheckpointError: it is none, or damaged.
  """
  try:
    tree = _describe(serialization.msgpack_restore(content))
  # Damaged bytes fail wherever msgpack, Flax or NumPy reads them.
  except Exception as error:
    words = str(error) or type(error).__name__
    raise CheckpointError(f"damaged, or no msgpack of Flax ({words})") from None
  if not isinstance(tree, dict):
    raise CheckpointError(f"found {type(tree).__name__}, expected a dict")
  return Checkpoint(path, "Flax msgpack", tree)


def read_orbax(folder: epath.Path) -> Checkpoint:
  """Reads params and batch statistics of a folder of Orbax.

  Args:
    folder: a checkpoint, or the folder of one step of a manager.

  Raises:
    CheckpointError: there is none, or there are several, or it is damaged.
    UserError: the path is no UTF-8.
  """
  import orbax.checkpoint as ocp  # Takes a fifth of a second, for this alone.

  files.in_utf8(folder)
  found = [
    path.parent
    for pattern in (_METADATA, f"*/{_METADATA}", f"*/*/{_METADATA}")
    for path in sorted(folder.glob(pattern))
  ]
  if not found:
    raise CheckpointError("found a folder, and no checkpoint of Orbax in it")
  if len(found) > 1:
    names = [str(path.relative_to(folder)) for path in found]
    raise CheckpointError(
      f"found {len(found)} checkpoints, name one of {names}"
    )
  try:
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
      about = reader.metadata(found[0]).item_metadata.tree
      wanted = {k: v for k, v in about.items() if k in _NETWORK} or about
      tree = reader.restore(
        found[0],
        args=ocp.args.PyTreeRestore(
          item=wanted,
          restore_args=jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted
          ),
          partial_restore=True,
        ),
      )
  # What fails, and how, is for several libraries to say.
  except Exception as error:
    words = libraries.reason(error)
    raise CheckpointError(f"damaged ({words})") from None
  return Checkpoint(str(folder), "Orbax", _describe(tree))


def _describe(tree: Any) -> Any:
  """Returns a tree with its arrays as `Tensor`s."""
  if isinstance(tree, dict):
    return {str(name): _describe(value) for name, value in tree.items()}
  return in_memory(tree) if isinstance(tree, np.ndarray) else tree
