"""Objects of PyTorch's files, by a pickle machine that imports nothing.

A pickle is a program. Here the few names that arrays need stand for functions
of this module, and every other name for an inert class, so that nothing of the
file runs. Arrays are described, not made: `pytorch` reads their bytes.
"""

import io
import math
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from sslprune_jax.exchange.inert import Dict, Opaque, Storage
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
_KEYS = (str, int, float, bool, bytes, type(None))
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")


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
      ("collections", "OrderedDict"): lambda pairs=(): _fill(
        Dict(), [x for pair in pairs for x in (pair[0], pair[1])]
      ),
      ("torch", "Size"): tuple,
      ("torch._utils", "_rebuild_tensor"): self._view,
      ("torch._utils", "_rebuild_tensor_v2"): self._view,
      ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
      ("torch._utils", "_rebuild_parameter_with_state"): (
        lambda data, *rest: data
      ),
      # A tensor of a subclass, or one with attributes, without them.
      ("torch._tensor", "_rebuild_from_type_v2"): (
        lambda make, kind, arguments, *rest: make(*arguments)
      ),
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
    if (
      not getattr(kind, "is_storage", False)
      or not _is_count(size)
      or type(key) not in (str, int)
    ):
      raise CheckpointError("found a malformed storage")
    known = kind.__name__ in _DTYPES
    dtype = np.dtype(_DTYPES[kind.__name__]) if known else None
    storage = Storage(str(key), dtype, size)
    if self.storages.setdefault(storage.key, storage) != storage:
      raise CheckpointError(f"storage {key}: found it twice, with other sizes")
    return storage

  def _view(
    self, storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
  ) -> Tensor:
    """Describes an array that is a view of a storage."""
    if any(
      isinstance(about, dict) and (about.get("neg") or about.get("conj"))
      for about in rest
    ):
      raise CheckpointError("found a negated view, expected plain numbers")
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
      if storage.dtype is None:
        raise CheckpointError("found numbers of an unknown dtype")
      numbers = self._read_storage(storage)
      bytes_each = storage.dtype.itemsize
      try:
        # Checks its bounds, unlike `as_strided`.
        view = np.ndarray(
          shape,
          storage.dtype,
          numbers,
          offset * bytes_each,
          tuple(stride * bytes_each for stride in strides),
        )
      except (ValueError, OverflowError) as error:
        raise CheckpointError(f"found a malformed tensor ({error})") from None
      return np.array(view)  # Its own, in rows.

    return Tensor(shape, read)

  # Opcodes whose own functions take what a file declares: keys of any depth,
  # whose hash recurses in C, and room for bytes that are not there.

  def _set_item(self):
    value, key = self.stack.pop(), self.stack.pop()
    _fill(self.stack[-1], [key, value])

  def _set_items(self):
    items = self.pop_mark()
    _fill(self.stack[-1], items)

  def _make_dict(self):
    self.append(_fill(Dict(), self.pop_mark()))

  def _make_set(self):
    self.append(Opaque())

  def _make_frozenset(self):
    self.pop_mark()
    self.append(Opaque())

  def _refuse(self):
    raise CheckpointError("found bytes in place, expected those of PyTorch")

  dispatch = {
    **pickle._Unpickler.dispatch,  # type: ignore[attr-defined]
    pickle.SETITEM[0]: _set_item,
    pickle.SETITEMS[0]: _set_items,
    pickle.DICT[0]: _make_dict,
    pickle.EMPTY_DICT[0]: lambda self: self.append(Dict()),
    pickle.EMPTY_SET[0]: _make_set,
    pickle.FROZENSET[0]: _make_frozenset,
    pickle.BYTEARRAY8[0]: _refuse,
  }


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


def _fill(where: Any, items: list[Any]) -> Any:
  """Puts keys and values in turn into a dict, or what stands for one.

  What is under another key, such as the class of a callback, is left out: no
  network lies there, and to hash it might take for ever.
  """
  for key, value in zip(items[::2], items[1::2], strict=True):
    large = type(key) is int and not -(2**63) <= key < 2**63
    if type(key) in _KEYS and not large:
      where[key] = value
  return where


def _is_count(value: Any) -> bool:
  return type(value) is int and 0 <= value < 2**62
