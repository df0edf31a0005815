"""A file of anybody, opened by what it is, not by its name."""

import contextlib
import functools
import os
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import safetensors
from etils import epath

from sslprune_jax.exchange import flax_files, pytorch
from sslprune_jax.exchange.tensors import Checkpoint, CheckpointError, Tensor
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime import files

_ZIP, _PICKLES = b"PK\x03\x04", tuple(bytes((0x80, n)) for n in range(2, 6))
_META = "meta.npy"  # Of a ticket of ours.
_EXPECTED = (
  "expected a checkpoint of PyTorch, safetensors, Flax (msgpack, Orbax), or a "
  "ticket"
)


@contextlib.contextmanager
def open_checkpoint(path: epath.PathLike) -> Iterator[Checkpoint]:
  """Opens a checkpoint; its arrays are read while it is open.

  Args:
    path: file of PyTorch (`.pth`, `.pth.tar`, `.pt`, of any version since 0.4),
      safetensors, or Flax's msgpack, a folder of Orbax, or a ticket.

  Yields:
    The checkpoint.

  Raises:
    CheckpointError: there is no such file, it is none of these, or damaged;
      the path stands before what is wrong.
  """
  try:
    with _open(epath.Path(path)) as checkpoint:
      yield checkpoint
  except CheckpointError as error:
    raise CheckpointError(f"{path}: {error}") from None
  except OSError as error:
    raise CheckpointError(
      f"{path}: cannot be read ({error.strerror or error})"
    ) from None


@contextlib.contextmanager
def _open(path: epath.Path) -> Iterator[Checkpoint]:
  if files.in_bucket(path):
    raise CheckpointError("found a bucket, expected a file of this machine")
  if path.is_dir():
    yield flax_files.read_orbax(path)
    return
  if path.exists() and not os.path.isfile(path):  # A pipe would wait.
    raise CheckpointError(f"found no file, {_EXPECTED}")
  with path.open("rb") as file:
    head = file.read(512)
    size = file.seek(0, 2)
    file.seek(0)
    pytorch.refuse_tar(head)
    with _by_head(file, head, path, size) as checkpoint:
      yield checkpoint


@contextlib.contextmanager
def _by_head(
  file: BinaryIO, head: bytes, path: epath.Path, size: int
) -> Iterator[Checkpoint]:
  """Opens a file by its first bytes."""
  if head.startswith(_ZIP):
    with _archive(file) as archive:
      if _META in archive.namelist():
        yield _read_ticket(path)
      else:
        yield pytorch.read_zip(archive, str(path), size)
  elif head.startswith(pytorch.LEGACY):
    yield pytorch.read_legacy(file, str(path), size)
  elif head[4:9] == b"\0\0\0\0{":  # Behind the length of its header.
    with _safetensors(path) as checkpoint:
      yield checkpoint
  elif head and (0x81 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF)):
    yield flax_files.read_msgpack(file.read(), str(path))
  else:
    found = "another kind of file" if size else "an empty file"
    found = "another's pickle" if head.startswith(_PICKLES) else found
    raise CheckpointError(f"found {found}, {_EXPECTED}")


@contextlib.contextmanager
def _safetensors(path: epath.Path) -> Iterator[Checkpoint]:
  try:
    archive = safetensors.safe_open(str(path), framework="numpy")
  except safetensors.SafetensorError as error:
    raise CheckpointError(f"damaged safetensors ({error})") from None
  with archive:
    tree = {
      name: Tensor(
        tuple(archive.get_slice(name).get_shape()),
        functools.partial(_get, archive, name),
      )
      for name in archive.keys()  # It is no dict.
    }
    yield Checkpoint(str(path), "safetensors", tree)


def _get(archive: Any, name: str) -> np.ndarray:
  try:
    return archive.get_tensor(name)
  except (AttributeError, safetensors.SafetensorError) as error:
    # Of a dtype that NumPy has not.
    raise CheckpointError(f"{name}: cannot be read ({error})") from None


def _read_ticket(path: epath.Path) -> Checkpoint:
  try:
    ticket = tickets.load(path)
  except tickets.TicketError as error:
    raise CheckpointError(str(error).removeprefix(f"{path}: ")) from None
  return Checkpoint(str(path), "ticket", {}, ticket)


def _archive(file: BinaryIO) -> zipfile.ZipFile:
  try:
    return zipfile.ZipFile(file)
  except pytorch.DAMAGE as error:
    raise CheckpointError(
      f"truncated, or a damaged zip archive ({error})"
    ) from None
