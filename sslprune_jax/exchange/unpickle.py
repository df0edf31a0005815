"""Objects of PyTorch's files, by a pickle machine that imports nothing.

A pickle is a program. Here the few names that arrays need stand for functions
of this module, and every other name for an inert class, so that nothing of the
file runs. Arrays are described, not made: `pytorch` reads their bytes.
"""

import collections
import dataclasses
import io
import math
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from sslprune_jax.exchange.tensors import CheckpointError, Tensor

_DTYPES = {
  "FloatStorage": "<f4",
  "DoubleStorage": "<f8",
  "HalfStorage": "<f2",
  "BFloat16Storage": ml_dtypes.bfloat16,
  "LongStorage": "<i8",
  "IntStorage": "<i4",
  "ShortStorage": "<i2",
  "CharStorage": "i1",
  "ByteStorage": "u1",
  "BoolStorage": "?",
}
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")


@dataclasses.dataclass(frozen=True)
class Storage:
  """A row of numbers in a file, which arrays are views of.

  Attributes:
    key: its name in the file.
    dtype: dtype of its numbers.
    size: number of them.
  """

  key: str
  dtype: np.dtype
  size: int


class Opaque:
  """Stands for an object of a class that is not known; holds nothing."""

  __slots__ = ()

  def __new__(cls, *args: Any, **kwargs: Any) -> "Opaque":
    """Makes it of whatever it is called with."""
    del args, kwargs
    return object.__new__(cls)

  def _ignore(self, *args: Any) -> None:
    """Takes what a pickle puts into an object."""

  __init__ = __setstate__ = __setitem__ = _ignore  # type: ignore[assignment]
  append = extend = add = update = _ignore


# The machine written in Python: the one in C grows its list of objects to any
# index that a file names, 64 GB for one flipped bit.
class Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
  """Reads one pickle.

  Attributes:
    storages: those that it named, by key.
    classes: names of the classes that it asked for and did not get.
  """

  def __init__(
    self, file: BinaryIO, read_storage: Callable[[Storage], np.ndarray]
  ):
    """Makes it.

    Args:
      file: file at the beginning of the pickle.
      read_storage: function that reads a storage, called by `Tensor.read`.
    """
    super().__init__(file, encoding="utf-8")
    self.storages: dict[str, Storage] = {}
    self.classes: set[str] = set()
    self._read_storage = read_storage
    # Made anew for each file: a pickle can set attributes on what it is given.
    self._known = {
      ("collections", "OrderedDict"): collections.OrderedDict,
      ("torch", "Size"): tuple,
      ("torch._utils", "_rebuild_tensor"): self._view,
      ("torch._utils", "_rebuild_tensor_v2"): self._view,
      ("torch._utils", "_rebuild_parameter"): _first,
      ("torch._utils", "_rebuild_parameter_with_state"): _first,
      ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type,
    }

  def find_class(self, module: str, name: str) -> Any:
    """Returns what stands for a name; nothing is imported."""
    if (module, name) in self._known:
      return self._known[module, name]
    if module in _STORAGE_MODULES and name.endswith("Storage"):
      return type(name, (Opaque,), {"__slots__": (), "is_storage": True})
    self.classes.add(f"{module}.{name}")
    return type("Opaque", (Opaque,), {"__slots__": ()})

  def persistent_load(self, pid: Any) -> Any:
    """Returns the storage that a persistent id describes."""
    if isinstance(pid, tuple) and pid and pid[0] == "module":
      return pid[1]  # Of a pickled module: its class.
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
      raise CheckpointError("found a persistent id that is no storage")
    kind, key, _, size, *view = pid[1:]
    if view and view[0] is not None:
      raise CheckpointError("found a view of a storage, expected whole ones")
    if not getattr(kind, "is_storage", False) or not _is_count(size):
      raise CheckpointError("found a malformed storage")
    if kind.__name__ not in _DTYPES:
      raise CheckpointError(
        f"found a {kind.__name__}, expected one of {tuple(_DTYPES)}"
      )
    storage = Storage(str(key), np.dtype(_DTYPES[kind.__name__]), size)
    if self.storages.setdefault(storage.key, storage) != storage:
      raise CheckpointError(f"storage {key}: found it twice, with other sizes")
    return storage

  def _view(
    self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
  ) -> Tensor:
    """Describes an array that is a view of a storage."""
    del rest
    if not (
      isinstance(storage, Storage)
      and isinstance(shape, tuple)
      and isinstance(strides, tuple)
      and len(shape) == len(strides) <= 32
      and all(map(_is_count, (offset, *shape, *strides)))
    ):
      raise CheckpointError("found a malformed tensor")
    pairs = zip(shape, strides, strict=True)
    last = offset + sum((size - 1) * stride for size, stride in pairs)
    # A view of more numbers than there are could be of any size.
    if math.prod(shape) > storage.size or (all(shape) and last >= storage.size):
      raise CheckpointError(
        f"found a tensor {shape} outside of its storage of {storage.size}"
      )

    def read():
      numbers = self._read_storage(storage)
      bytes_each = storage.dtype.itemsize
      # Checks its bounds, unlike `as_strided`.
      view = np.ndarray(
        shape,
        storage.dtype,
        numbers,
        offset * bytes_each,
        tuple(stride * bytes_each for stride in strides),
      )
      return np.array(view)  # Its own, in rows.

    return Tensor(shape, read)


def unpickle(unpickler: Unpickler) -> Any:
  """Returns the object of a pickle.

  Raises:
    CheckpointError: it is damaged, or no pickle.
  """
  try:
    return unpickler.load()
  except CheckpointError:
    raise
  # A program of anybody's may fail in any way.
  except Exception as error:
    words = str(error) or type(error).__name__
    raise CheckpointError(f"damaged, or no pickle ({words})") from None


def of_bytes(
  content: bytes, read_storage: Callable[[Storage], np.ndarray]
) -> tuple[Any, Unpickler]:
  """Returns the object of a pickle in memory, and what read it."""
  unpickler = Unpickler(io.BytesIO(content), read_storage)
  return unpickle(unpickler), unpickler


def _first(data: Any, *rest: Any) -> Any:
  del rest
  return data


def _rebuild_from_type(make: Any, kind: Any, arguments: Any, *rest: Any) -> Any:
  """Makes a tensor of a subclass, or one with attributes, without them."""
  del kind, rest
  return make(*arguments)


def _is_count(value: Any) -> bool:
  return type(value) is int and 0 <= value < 2**62
