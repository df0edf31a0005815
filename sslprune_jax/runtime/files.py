"""Files that are there whole or not at all, whenever the program is killed.

Of several processes the first one writes and reads them, for all.
"""

import json
from collections.abc import Iterable
from typing import Any

from etils import epath

from sslprune_jax.runtime import atomic, json_files, processes


def absolute(path: epath.PathLike) -> epath.Path:
  """Returns a path that holds in any folder; a bucket's `gs://` is one."""
  path = epath.Path(path)
  return path if in_bucket(path) else path.resolve()


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


def read_json_lines(path: epath.PathLike) -> list[dict[str, Any]]:
  """Reads a file of one JSON object a line; see `json_files.read_lines`."""
  content = processes.from_first(lambda: json_files.read_bytes(path))
  return [line for _, line in json_files.parse_lines(content, str(path))]
