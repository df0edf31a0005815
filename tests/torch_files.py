"""Writes files as `torch.save` does, without PyTorch: zip archives and legacy.

`tests/exchange/test_exchange_torch.py` holds them against PyTorch itself.
"""

import collections
import io
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
  np.dtype("float32"): "FloatStorage",
  np.dtype("float64"): "DoubleStorage",
  np.dtype("float16"): "HalfStorage",
  np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
  np.dtype("int64"): "LongStorage",
  np.dtype("int32"): "IntStorage",
  np.dtype("int16"): "ShortStorage",
  np.dtype("int8"): "CharStorage",
  np.dtype("uint8"): "ByteStorage",
  np.dtype("bool"): "BoolStorage",
}


class Global:
  """A name that a pickle asks for, without the module that has it."""

  def __init__(self, module, name):
    self.module, self.name = module, name

  def __call__(self, *args):
    raise AssertionError("pickled, never called")


class Call:
  """An object that a pickle makes by calling a name."""

  def __init__(self, function, *args, state=None):
    self.function, self.args, self.state = function, args, state


class Storage:
  """A persistent id; numbers that are declared may differ from those there."""

  def __init__(self, numbers, size=None):
    self.numbers = np.ascontiguousarray(numbers).reshape(-1)
    self.size = self.numbers.size if size is None else size


class View:
  """A tensor by hand: a view of a storage."""

  def __init__(self, storage, offset, shape, strides):
    self.storage, self.offset = storage, offset
    self.shape, self.strides = shape, strides


class Pickler(pickle._Pickler):
  def __init__(self, file, more):
    super().__init__(file, protocol=2)
    self.storages, self.more = [], more

  def save(self, obj, save_persistent_id=True):
    if isinstance(obj, Global):
      self.write(f"c{obj.module}\n{obj.name}\n".encode())
    else:
      super().save(obj, save_persistent_id)

  def persistent_id(self, obj):
    if not isinstance(obj, Storage):
      return None
    if obj not in self.storages:
      self.storages.append(obj)
    kind = Global("torch", _STORAGES[obj.numbers.dtype])
    key = str(self.storages.index(obj))
    return ("storage", kind, key, "cpu", obj.size, *self.more)

  def reducer_override(self, obj):
    if isinstance(obj, Call):
      return (obj.function, obj.args, obj.state)
    if isinstance(obj, np.ndarray):
      base = obj if obj.base is None else obj.base
      offset = (
        obj.__array_interface__["data"][0] - base.__array_interface__["data"][0]
      )
      size = obj.itemsize
      strides = tuple(stride // size for stride in obj.strides)
      obj = View(_storage(base), offset // size, obj.shape, strides)
    if isinstance(obj, View):
      arguments = (obj.storage, obj.offset, obj.shape, obj.strides, False)
      make = Global("torch._utils", "_rebuild_tensor_v2")
      return (make, (*arguments, collections.OrderedDict()))
    return NotImplemented


_SEEN = {}


def _storage(base):
  """Returns the storage of an array, one for all its views."""
  held = _SEEN.get(id(base))
  if held is None or held[0] is not base:
    _SEEN[id(base)] = held = (base, Storage(base))
  return held[1]


def pickled(tree, more=()):
  """Returns a pickle, and its storages in the order of their keys."""
  file = io.BytesIO()
  pickler = Pickler(file, more)
  pickler.dump(tree)
  return file.getvalue(), pickler.storages


def save_zip(path, tree, root="archive", compression=zipfile.ZIP_STORED):
  """Writes the form of PyTorch 1.6 and later."""
  content, storages = pickled(tree)
  write_zip(path, content, storages, root, compression)


def write_zip(
  path, content, storages, root="archive", compression=zipfile.ZIP_STORED
):
  """Writes the form of PyTorch 1.6 and later, of any pickle."""
  with zipfile.ZipFile(path, "w", compression) as archive:
    archive.writestr(f"{root}/data.pkl", content)
    archive.writestr(f"{root}/byteorder", "little")
    for key, storage in enumerate(storages):
      archive.writestr(f"{root}/data/{key}", storage.numbers.tobytes())
    archive.writestr(f"{root}/version", "3\n")


def save_legacy(path, tree):
  """Writes the form of PyTorch before 1.6."""
  content, storages = pickled(tree, more=(None,))  # No view of a storage.
  about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
  with open(path, "wb") as file:
    for head in (MAGIC, 1001, about):
      file.write(pickle.dumps(head, 2))
    file.write(content)
    file.write(pickle.dumps([str(key) for key in range(len(storages))], 2))
    for storage in storages:
      file.write(struct.pack("<q", storage.size))
      file.write(storage.numbers.tobytes())


def resnet18(width=8):
  """Returns the state_dict of a narrow ResNet-18 by torchvision's names."""
  rng = np.random.default_rng(0)
  found, inputs = {}, width

  def conv(name, shape):
    found[f"{name}.weight"] = rng.normal(size=shape, scale=0.1)

  def norm(name, channels):
    for leaf in ("weight", "bias", "running_mean", "running_var"):
      found[f"{name}.{leaf}"] = rng.uniform(0.5, 1.5, channels)

  conv("conv1", (width, 3, 7, 7))
  norm("bn1", width)
  for i in range(4):
    out = width * 2**i
    for j in range(2):
      at = f"layer{i + 1}.{j}"
      conv(f"{at}.conv1", (out, inputs, 3, 3))
      conv(f"{at}.conv2", (out, out, 3, 3))
      norm(f"{at}.bn1", out)
      norm(f"{at}.bn2", out)
      if inputs != out:
        conv(f"{at}.downsample.0", (out, inputs, 1, 1))
        norm(f"{at}.downsample.1", out)
      inputs = out
  return {k: v.astype(np.float32) for k, v in found.items()}
