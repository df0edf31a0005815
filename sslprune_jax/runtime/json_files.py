"""JSON of a run that anybody may have touched: read, or named in one line.

It needs no JAX; `files` reads for several processes.
"""

import json
from typing import Any

from etils import epath

from sslprune_jax.runtime.errors import LostFileError

_KINDS = {dict: "an object", list: "a list"}
_DEEPEST = 50  # Values within values; a configuration has 6.


def read_bytes(path: epath.PathLike) -> bytes:
  """Reads a file of a run.

  Raises:
    LostFileError: there is none, or a folder in its place.
  """
  try:
    return epath.Path(path).read_bytes()
  except (FileNotFoundError, NotADirectoryError):
    raise LostFileError(f"{path}: missing, expected a file") from None
  except IsADirectoryError:
    raise LostFileError(f"{path}: found a folder, expected a file") from None


def read(path: epath.PathLike, *kinds: type) -> Any:
  """Reads a file of JSON.

  Args:
    path: path of the file.
    *kinds: types that its value may have, among dict and list; any by default.

  Raises:
    LostFileError: it is missing, no JSON, or of another kind.
  """
  return parse(read_bytes(path), str(path), *kinds)


def read_lines(path: epath.PathLike) -> list[tuple[str, dict[str, Any]]]:
  """Reads a file of one JSON object a line; empty lines are left out.

  Args:
    path: path of the file.

  Returns:
    Pairs of where a line stands, for messages, and its object.

  Raises:
    LostFileError: the file is missing; or names a line that is no JSON object.
  """
  return parse_lines(read_bytes(path), str(path))


def parse_lines(content: bytes, path: str) -> list[tuple[str, dict[str, Any]]]:
  """Reads JSON objects, one a line; see `read_lines`."""
  places = [
    (f"{path}, line {number}", line)
    for number, line in enumerate(content.splitlines(), start=1)
    if line.strip()
  ]
  return [(where, parse(line, where, dict)) for where, line in places]


def parse(content: bytes, where: str, *kinds: type) -> Any:
  """Reads a value of JSON.

  Args:
    content: text in UTF-8.
    where: place of the text, for messages.
    *kinds: types that the value may have, among dict and list; any by default.

  Raises:
    LostFileError: it is no JSON, or of another kind.
  """
  try:
    found = json.loads(content.decode())
    _check_depth(found)
  except RecursionError:
    raise LostFileError(f"{where}: damaged: nested too deep") from None
  except ValueError as error:  # Of its encoding too.
    raise LostFileError(f"{where}: damaged: no JSON ({error})") from None
  if kinds and not isinstance(found, kinds):
    expected = " or ".join(_KINDS[kind] for kind in kinds)
    raise LostFileError(
      f"{where}: damaged: found {describe(found)}, expected {expected}"
    )
  return found


def describe(value: Any) -> str:
  """Returns a value for a message, cut if it is long."""
  text = json.dumps(value)
  return text if len(text) <= 60 else f"{text[:57]}..."


def _check_depth(value: Any) -> None:
  """Refuses what a walk through it might not come back from."""
  level = [value]
  for _ in range(_DEEPEST):
    level = [
      below
      for above in level
      if isinstance(above, (dict, list))
      for below in (above.values() if isinstance(above, dict) else above)
    ]
    if not level:
      return
  raise RecursionError
