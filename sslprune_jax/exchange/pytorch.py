"""Files of `torch.save`, read without PyTorch: zip archives and legacy ones.

Nothing of a file runs (`unpickle`), and no more is read than what is asked for:
half of a checkpoint is the optimizer's.
"""

import struct
import zipfile
from typing import Any, BinaryIO

import numpy as np

from sslprune_jax.exchange import unpickle
from sslprune_jax.exchange.inert import Storage
from sslprune_jax.exchange.tensors import Checkpoint, CheckpointError
from sslprune_jax.exchange.unpickle import Unpickler

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# How a legacy file begins: a pickle of that number.
LEGACY = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little") + b"."
# What zipfile raises, by what is damaged.
DAMAGE = (
  *(zipfile.BadZipFile, EOFError, OSError, RuntimeError),
  *(ValueError, OverflowError, LookupError),
)
_TAR = "the tar form of PyTorch before 0.4; save it again with a newer one"
_SCRIPT = "a TorchScript archive, which is a program; save its state_dict"


def read_zip(archive: zipfile.ZipFile, path: str, size: int) -> Checkpoint:
  """Opens an archive of PyTorch 1.6 and later.

  Args:
    archive: the open archive.
    path: its path, for errors.
    size: bytes of the file.

  Returns:
    The checkpoint; its arrays are read while the archive is open.

  Raises:
    CheckpointError: it is none of PyTorch's, or damaged.
  """
  members = {info.filename: info for info in archive.infolist()}
  if len(members) < len(archive.infolist()):
    raise CheckpointError("found two members of one name in the archive")
  if any(name.endswith("constants.pkl") for name in members):
    raise CheckpointError(f"found {_SCRIPT}")
  roots = [
    name.removesuffix("data.pkl")
    for name in members
    if name == "data.pkl" or name.endswith("/data.pkl")
  ]
  if len(roots) != 1:
    raise CheckpointError(
      "found a zip archive, and no checkpoint of PyTorch in it"
    )
  (root,) = roots

  def read(name: str) -> bytes:
    info = members.get(root + name)
    if info is None:
      raise CheckpointError(f"{name}: missing in the archive")
    # PyTorch stores members as they are; what is deflated may be of any size.
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
      raise CheckpointError(
        f"{name}: found it deflated to {info.compress_size} of "
        f"{info.file_size} bytes, expected it as it is"
      )
    try:
      return archive.read(info)
    except DAMAGE as error:
      raise CheckpointError(f"{name}: damaged ({error})") from None

  def read_storage(storage: Storage) -> np.ndarray:
    return _numbers(read(f"data/{storage.key}"), storage)

  if root + "byteorder" in members and read("byteorder") != b"little":
    raise CheckpointError("found big-endian numbers, expected little-endian")
  tree, unpickler = unpickle.of_bytes(read("data.pkl"), read_storage)
  return _checkpoint(path, "PyTorch", tree, unpickler)


def read_legacy(file: BinaryIO, path: str, size: int) -> Checkpoint:
  """Opens a file of PyTorch 0.4 to 1.5.

  Args:
    file: the open file, at its beginning.
    path: its path, for errors.
    size: bytes of the file.

  Returns:
    The checkpoint; its arrays are read while the file is open.

  Raises:
    CheckpointError: it is none of PyTorch's, or damaged.
  """
  places: dict[str, int] = {}

  def read_storage(storage: Storage) -> np.ndarray:
    file.seek(places[storage.key])
    return _numbers(file.read(storage.size * storage.dtype.itemsize), storage)

  def read() -> tuple[Any, Unpickler]:
    unpickler = Unpickler(file, read_storage)
    return unpickle.unpickle(unpickler), unpickler

  if read()[0] != _MAGIC or read()[0] != _PROTOCOL:
    raise CheckpointError("found a pickle, expected one of PyTorch's")
  about = read()[0]
  if not isinstance(about, dict) or not about.get("little_endian", True):
    raise CheckpointError("found big-endian numbers, expected little-endian")
  tree, unpickler = read()
  for key in _keys(read()[0]):
    storage = unpickler.storages.get(key)
    if storage is None or storage.dtype is None:
      raise CheckpointError(
        f"storage {key}: found it in one of two lists, or of an unknown dtype"
      )
    found = file.read(8)
    places[key] = file.tell()
    if len(found) < 8 or struct.unpack("<q", found)[0] != storage.size:
      raise CheckpointError(f"storage {key}: truncated, or of another size")
    end = places[key] + storage.size * storage.dtype.itemsize
    if end > size:
      raise CheckpointError(
        f"truncated: found {size} bytes, storage {key} ends at {end}"
      )
    file.seek(end)
  lost = min(unpickler.storages.keys() - places.keys(), default=None)
  if lost is not None:
    raise CheckpointError(f"storage {lost}: missing in the file")
  return _checkpoint(path, "PyTorch, legacy", tree, unpickler)


def refuse_tar(head: bytes) -> None:
  """Refuses the oldest form, by the first 512 bytes of a file."""
  if head[257:262] == b"ustar":
    raise CheckpointError(f"found {_TAR}")


def _keys(found: Any) -> list[str]:
  """Returns the keys of the storages of a legacy file, in its order."""
  if not isinstance(found, list) or len(set(map(str, found))) != len(found):
    raise CheckpointError("found no list of storages, expected one")
  return [str(key) for key in found]


def _numbers(content: bytes, storage: Storage) -> np.ndarray:
  """Returns the numbers of a storage, of at least its bytes."""
  expected = storage.size * storage.dtype.itemsize
  if len(content) < expected:
    raise CheckpointError(
      f"storage {storage.key}: found {len(content)} bytes, expected {expected}"
    )
  return np.frombuffer(content, storage.dtype, storage.size)


def _checkpoint(
  path: str, form: str, tree: Any, unpickler: Unpickler
) -> Checkpoint:
  if not isinstance(tree, dict):
    raise CheckpointError(
      f"found {type(tree).__name__}, expected a state_dict, or a dict that "
      "holds one; a pickled module needs its own code: save its state_dict"
    )
  return Checkpoint(path, form, tree, classes=tuple(sorted(unpickler.classes)))
