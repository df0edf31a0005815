"""The result of a stage on disk: its lines, and digests of what stands beside.

`result.json` is written last, so that it says: done. It holds the stage's
`lines`, the size and the SHA-256 of the `files` that they stand for, the
`numerics` that they were computed with, and the `sha256` of these three.
Metrics are no part of it: they say how long things took. The first version
wrote the bare lines, which cannot be verified.
"""

import os
from typing import Any

from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import digests, files, json_files, processes
from sslprune_jax.runtime.errors import LostFileError
from sslprune_jax.training.step import NUMERICS

Line = dict[str, Any]  # of results.jsonl


def exists(directory: epath.Path) -> bool:
  """Returns whether the stage of a folder is done."""
  return files.exists(directory / workdir_lib.RESULT)


def write(directory: epath.Path, lines: list[Line]) -> None:
  """Says that a stage is done.

  Args:
    directory: folder of the stage, in which all else is written.
    lines: its lines of results.
  """
  if not processes.is_first():
    return
  beside = sorted(directory.glob("*.npz")) + sorted(directory.glob("*.json"))
  found = {
    "lines": lines,
    "files": {
      path.name: digests.describe(path.read_bytes())
      for path in beside
      if path.name != workdir_lib.RESULT
    },
    "numerics": NUMERICS,
  }
  path = directory / workdir_lib.RESULT
  files.write_json(path, digests.stamp(found))


def read(directory: epath.Path) -> list[Line]:
  """Reads the result of a stage, and sees that its files are there.

  Args:
    directory: folder of the stage.

  Returns:
    Its lines.

  Raises:
    LostFileError: the result is damaged, or a file of it is missing or has
      another size, or one of JSON other bytes; those of tickets are not read.
  """
  return processes.from_first(lambda: _read(directory))


def verify(directory: epath.Path) -> tuple[list[str], bool]:
  """Reads a result and every byte that it stands for.

  Args:
    directory: folder of the stage.

  Returns:
    Sentences on what is damaged, and whether it can be verified at all: of the
    first version it cannot.
  """
  try:
    lines, expected = _parse(directory)
  except LostFileError as error:
    return [str(error)], True
  damaged = list(filter(None, (
    _compare(directory / name, about, whole=True)
    for name, about in (expected or {}).items()
  )))  # fmt: skip
  return damaged, expected is not None


def _read(directory: epath.Path) -> list[Line]:
  lines, expected = _parse(directory)
  for name, about in (expected or {}).items():
    # Pages are drawn from what is JSON, and it is small.
    words = _compare(directory / name, about, whole=name.endswith(".json"))
    if words:
      raise _lost(directory, words)
  return lines


def _parse(
  directory: epath.Path,
) -> tuple[list[Line], dict[str, dict[str, Any]] | None]:
  """Returns the lines, and what is known of the files; None: nothing is."""
  path = directory / workdir_lib.RESULT
  try:
    found = json_files.read(path, dict, list)
    if isinstance(found, list):
      _check_first_version(directory, found)
      return found, None
    if found == digests.stamp(found):
      return found["lines"], found["files"]
  except LostFileError as error:
    raise _lost(directory, str(error)) from None
  except (KeyError, TypeError, AttributeError) as error:
    words = f"{path}: damaged: no result ({error})"
    raise _lost(directory, words) from None
  raise _lost(
    directory, f"{path}: damaged: its values are not those of its digest"
  )


def _check_first_version(directory: epath.Path, lines: list[Any]) -> None:
  """Refuses bare lines in a study that the first version did not begin."""
  folder = next(p for p in directory.parents if p.name.startswith("seed_"))
  path = folder.parent / workdir_lib.CONFIG
  config = json_files.read(path, dict) if path.exists() else {}
  accepted = config.get("accepted_numerics", [])
  if "numerics" in config and 0 not in accepted:
    raise TypeError("no digest, which the first version alone left out")
  if not lines or not all(isinstance(line, dict) for line in lines):
    raise TypeError("no lines")


def _lost(directory: epath.Path, words: str) -> LostFileError:
  error = LostFileError(words)
  error.stage = str(directory)
  return error


def _compare(path: epath.Path, about: dict[str, Any], whole: bool) -> str:
  """Returns what is wrong with a file, or ""."""
  if not path.exists():
    return f"{path}: missing, expected {about['size']} bytes"
  # Of etils, `stat` looks up the owner's name, which may have none.
  in_bucket = files.in_bucket(path)
  size = path.stat().length if in_bucket else os.stat(path).st_size
  if size != about["size"]:
    return f"{path}: damaged: found {size} bytes, expected {about['size']}"
  if whole and digests.describe(json_files.read_bytes(path)) != about:
    return f"{path}: damaged: its bytes are not those of its digest"
  return ""
