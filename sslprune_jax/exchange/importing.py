"""A checkpoint of anybody -> a ticket."""

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping

from etils import epath

from sslprune_jax.exchange import (
  architectures,
  containers,
  fitting,
  flax_names,
  names,
)
from sslprune_jax.exchange.layouts import Layout
from sslprune_jax.exchange.names import Found
from sslprune_jax.exchange.tensors import (
  Checkpoint,
  CheckpointError,
  Tensor,
  in_memory,
)
from sslprune_jax.pruning.tickets import Ticket, TicketError
from sslprune_jax.runtime.errors import ConfigError, printable

_SAID = 6  # Groups of what was left that are named.
_LONGEST_NAME = 100  # Letters of a task's name: `config.rules.NAME`.


@dataclasses.dataclass(frozen=True)
class Imported:
  """A ticket, and what was taken of the file.

  Attributes:
    ticket: the network; its masks are full, or the file's own.
    said: sentences on what was taken and what was left.
    sha256: digest of the file, or of all files of the folder.
  """

  ticket: Ticket
  said: list[str]
  sha256: str


def import_checkpoint(
  path: epath.PathLike,
  seen: fitting.Input,
  *,
  prefix: str | None = None,
  masks: epath.PathLike | None = None,
) -> Imported:
  """Reads a checkpoint as a ticket.

  Args:
    path: file or folder; see `containers.open_checkpoint`.
    seen: size and normalisation of its images.
    prefix: end of what stands before its names; see `names.find`.
    masks: file of masks by the names of the weights, with or without the
      prefix; None: the checkpoint's own, or full ones.

  Returns:
    The ticket, and what to say of it.

  Raises:
    CheckpointError: the file is none, or of a network that ours cannot hold.
  """
  kept = _read_masks(masks, prefix)
  with containers.open_checkpoint(path) as checkpoint:
    if checkpoint.ticket is not None:
      if seen != fitting.Input() or prefix is not None or masks is not None:
        raise CheckpointError(
          "found a ticket, which says itself how its network sees images: "
          "expected it alone"
        )
      said = ["found a ticket: taken as it is"]
      return Imported(checkpoint.ticket, said, _digest(pathlib.Path(path)))
    tensors = names.flatten(checkpoint.tree)
    found = _find(tensors, prefix)
    layout = architectures.recognise(found)
    _check_strides(pathlib.Path(path), layout)
    ticket = fitting.make_ticket(found, layout, seen, kept)
    said = _say(checkpoint, found, layout)
  path = pathlib.Path(path)
  sha256 = _digest(path)
  stem = re.sub(r"\W+", "_", path.name.partition(".")[0], flags=re.ASCII)
  stem = stem.strip("_").lower()[:_LONGEST_NAME]
  meta = {
    "task": stem or "imported",
    **ticket.meta,
    "source": {"sha256": sha256, "prefix": found.prefix},
  }
  return Imported(dataclasses.replace(ticket, meta=meta), said, sha256)


@functools.lru_cache(maxsize=2)  # Studies of one process start alike.
def read_start(path: str) -> Imported:
  """Reads the network of `config.start`, once.

  Args:
    path: value of the field, not empty.

  Raises:
    ConfigError: there is no such file, or no network of ours in it.
  """
  try:
    return import_checkpoint(os.path.expanduser(path), fitting.Input())
  except (CheckpointError, TicketError) as error:
    raise ConfigError(f"config.start: {error}") from None


def _check_strides(path: pathlib.Path, layout: Layout) -> None:
  """Refuses a network of Hugging Face's that strides where ours does not.

  Weights do not say it, but the configuration beside them does.
  """
  beside = path.parent / "config.json"
  try:
    config = json.loads(beside.read_text()) if beside.exists() else {}
  except (ValueError, OSError, RecursionError):
    return
  if isinstance(config, dict) and config.get("downsample_in_bottleneck"):
    raise CheckpointError(
      f"{beside} says downsample_in_bottleneck: found the stride in the first "
      f"1 x 1 convolution, {layout.model['name']} has it in the 3 x 3 one"
    )


def _find(tensors: Mapping[str, Tensor], prefix: str | None) -> Found:
  return flax_names.find(tensors, prefix) or names.find(tensors, prefix)


def _read_masks(
  path: epath.PathLike | None, prefix: str | None
) -> dict[str, Tensor]:
  """Returns masks by torchvision's names of the layers."""
  if path is None:
    return {}
  with containers.open_checkpoint(path) as checkpoint:
    tensors = names.flatten(checkpoint.tree)
    try:
      found = _find(tensors, prefix).tensors
    except CheckpointError:
      if not prefix:
        raise
      found = _find(tensors, "").tensors
    masks = {
      name.removesuffix(suffix): in_memory(tensor.read())
      for name, tensor in found.items()
      for suffix in (f".{fitting.MASK}", ".weight")
      if name.endswith(suffix)
    }
  return masks


def _say(checkpoint: Checkpoint, found: Found, layout: Layout) -> list[str]:
  """Returns sentences on what was taken, and what was left."""
  model = layout.model["name"]
  width = layout.model.get("width", 1)
  said = [
    f"{checkpoint.form}: {model}{'' if width == 1 else f' x {width:g}'}, "
    f"{len(found.tensors)} arrays behind {found.prefix!r}, "
    + (f"{layout.outputs} outputs" if layout.outputs else "without a head")
  ]
  if found.others:
    said.append(
      f"as large a network stands behind {', '.join(map(repr, found.others))}: "
      "choose by --prefix"
    )
  if found.left:
    groups = [f"{group} ({count})" for group, count in found.left.items()]
    more = f", ... {len(groups)} groups" if len(groups) > _SAID else ""
    said.append(f"left: {', '.join(groups[:_SAID])}{more}")
  unused = [
    name
    for name in found.tensors
    if name.startswith(fitting.HEADS)
    and name.rpartition(".")[0] not in {s.name for s in layout.params.values()}
  ]
  if unused:
    said.append(f"left, as no linear head of ours: {', '.join(unused[:_SAID])}")
  if checkpoint.classes:
    said.append(
      f"objects of other classes: {', '.join(checkpoint.classes[:4])}"
    )
  return [printable(words) for words in said]


def _digest(path: pathlib.Path) -> str:
  """Returns the SHA-256 of a file, or of all files of a folder."""
  digest = hashlib.sha256()
  paths = sorted(path.rglob("*")) if path.is_dir() else [path]
  for file in paths:
    if not file.is_dir():
      with file.open("rb") as content:
        while chunk := content.read(2**20):
          digest.update(chunk)
  return digest.hexdigest()
