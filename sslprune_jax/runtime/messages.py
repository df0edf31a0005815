"""What processes send each other: JSON and arrays, and errors by their names.

Nothing that is received is code, nor imports any: an error of a class that is
neither Python's own nor a `UserError` that is loaded here arrives as a
`RuntimeError`.
"""

import builtins
import json
import pathlib
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np

from sslprune_jax.runtime.errors import UserError


def pack(value: Any) -> bytes:
  """Writes a value of JSON, bytes, arrays and paths, tuples among them.

  Raises:
    TypeError: it holds something else.
  """
  parts: list[bytes] = []
  header = json.dumps(_write(value, parts)).encode()
  sizes = [len(header), *map(len, parts)]
  return json.dumps(sizes).encode() + b"\n" + header + b"".join(parts)


def unpack(content: bytes) -> Any:
  """Reads what `pack` wrote; of named tuples it makes tuples."""
  sizes, _, rest = content.partition(b"\n")
  pieces, first = [], 0
  for size in json.loads(sizes):
    pieces.append(rest[first : first + size])
    first += size
  header, *parts = pieces
  return _read(json.loads(header), parts)


def pack_error(error: BaseException) -> bytes:
  """Writes an exception: its class by name, its arguments, what it carries."""
  kind = type(error)
  arguments = list(error.args)
  if isinstance(error, OSError) and error.filename is not None:
    arguments.append(error.filename)  # Which it takes out of them.
  arguments = [a if _is_plain(a) else str(a) for a in arguments]
  carried = {k: v for k, v in vars(error).items() if _is_plain(v)}
  return pack([kind.__module__, kind.__qualname__, arguments, carried])


def unpack_error(content: bytes) -> BaseException:
  """Reads what `pack_error` wrote."""
  module, name, arguments, carried = unpack(content)
  found = getattr(sys.modules.get(module), name, None)
  is_error = isinstance(found, type) and (
    issubclass(found, UserError)
    or (module == builtins.__name__ and issubclass(found, BaseException))
  )
  if not is_error:
    return RuntimeError(f"process 0: {module}.{name}: {arguments}")
  if module == builtins.__name__:
    try:
      return found(*arguments)
    except TypeError:  # One that is made of more than texts and numbers.
      return RuntimeError(f"process 0: {name}: {arguments}")
  error = found.__new__(found, *arguments)  # Its `__init__` may want others.
  error.args = tuple(arguments)
  vars(error).update(carried)
  return error


def _write(value: Any, parts: list[bytes]) -> Any:
  if value is None or isinstance(value, (bool, int, float, str)):
    return value
  if isinstance(value, dict):
    pairs = [[_write(v, parts) for v in pair] for pair in value.items()]
    return {"dict": pairs}
  if isinstance(value, (list, tuple)):
    kind = "list" if isinstance(value, list) else "tuple"
    return {kind: [_write(item, parts) for item in value]}
  if isinstance(value, pathlib.PurePath):
    return {"path": str(value)}
  if isinstance(value, bytes):
    parts.append(value)
    return {"bytes": len(parts) - 1}
  array = np.asarray(value)
  if array.dtype.hasobject:
    raise TypeError(f"found {type(value).__name__}, expected JSON or an array")
  parts.append(array.tobytes())
  return {"array": [len(parts) - 1, array.dtype.name, list(array.shape)]}


def _read(found: Any, parts: list[bytes]) -> Any:
  if not isinstance(found, dict):
    return found
  ((kind, of),) = found.items()
  match kind:
    case "dict":
      return {_read(k, parts): _read(v, parts) for k, v in of}
    case "list":
      return [_read(item, parts) for item in of]
    case "tuple":
      return tuple(_read(item, parts) for item in of)
    case "path":
      return pathlib.Path(of)
    case "bytes":
      return parts[of]
    case "array":
      place, dtype, shape = of
      return np.frombuffer(parts[place], jnp.dtype(dtype)).reshape(shape).copy()
  raise ValueError(f"found {kind!r}, expected what pack writes")


def _is_plain(value: Any) -> bool:
  return value is None or isinstance(value, (bool, int, float, str))
