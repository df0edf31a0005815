"""Files that are there whole or not at all, whenever the program is killed.

Of several processes the first one writes and reads them, for all.
"""

import errno
import json
import os
from collections.abc import Iterable
from typing import Any

from etils import epath

from sslprune_jax.runtime import atomic, json_files, processes
from sslprune_jax.runtime.errors import UserError


def absolute(path: epath.PathLike) -> epath.Path:
  """Returns a path that holds in any folder; a bucket's `gs://` is one."""
  path = epath.Path(path)
  return path if in_bucket(path) else path.resolve()


def in_utf8(path: epath.PathLike) -> epath.Path:
  """Returns a path that holds in any folder, and that Orbax can open.

  Raises:
    UserError: it is no UTF-8.
  """
  path = absolute(path)
  try:
    str(path).encode()
  except UnicodeEncodeError:
    raise UserError(
      f"{path}: found a path that is no UTF-8, expected one that is: Orbax, "
      "which keeps checkpoints, opens no other"
    ) from None
  return path


def in_bucket(path: epath.PathLike) -> bool:
  """Returns whether a path lies in a bucket, such as `gs://...`."""
  return "://" in str(path)


def write(path: epath.PathLike, content: bytes) -> None:
  """Writes a file atomically, making its folder."""
  if processes.is_first():
    path = epath.Path(path)
    if not in_bucket(path):
      path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, content)


def read(path: epath.PathLike) -> bytes:
  """Reads a file."""
  return processes.from_first(epath.Path(path).read_bytes)


def exists(path: epath.PathLike) -> bool:
  """Returns whether there is such a file or folder."""
  return processes.from_first(epath.Path(path).exists)


def write_json(path: epath.PathLike, value: Any) -> None:
  """Writes a value as indented JSON, atomically."""
  write(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: epath.PathLike, *kinds: type) -> Any:
  """Reads a JSON file; see `json_files.read`."""
  content = processes.from_first(lambda: json_files.read_bytes(path))
  return json_files.parse(content, str(path), *kinds)


def write_json_lines(path: epath.PathLike, values: Iterable[Any]) -> None:
  """Writes one JSON value a line, atomically."""
  write(path, "".join(json.dumps(value) + "\n" for value in values).encode())


def append_json_lines(path: epath.PathLike, values: Iterable[Any]) -> None:
  """Adds one JSON value a line, in one write: a kill leaves none of it or all.

  Args:
    path: file on a disk: nothing can be added to one in a bucket.
    values: what is added.
  """
  if processes.is_first():
    content = "".join(json.dumps(value) + "\n" for value in values).encode()
    with open(path, "ab", buffering=0) as file:
      size = file.tell()
      if file.write(content) < len(content):
        file.truncate(size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def read_json_lines(path: epath.PathLike) -> list[dict[str, Any]]:
  """Reads a file of one JSON object a line; see `json_files.read_lines`."""
  content = processes.from_first(lambda: json_files.read_bytes(path))
  return [line for _, line in json_files.parse_lines(content, str(path))]
