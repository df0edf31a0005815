"""`labels.csv` beside images: which file shows which class."""

import csv
import os
import unicodedata
from collections.abc import Mapping

import numpy as np

from sslprune_jax.data.listing import LeftOut, images_below
from sslprune_jax.data.sources import UNLABELLED, DataError
from sslprune_jax.data.splits import Listed
from sslprune_jax.runtime.errors import printable

NAME = "labels.csv"
_COLUMNS = ("file", "label")
Table = dict[str, str]  # path of an image below the folder -> class, or ""


def read_table(root: str) -> Table | None:
  """Reads the labels of a folder's images.

  Args:
    root: path of the folder.

  Returns:
    The classes of the images that are listed; None where there is no such file.

  Raises:
    DataError: names the line, what was found and what was expected.
  """
  path = os.path.join(root, NAME)
  if not os.path.isfile(path):
    return None
  table: Table = {}
  try:
    with open(path, encoding="utf-8-sig", newline="") as lines:
      rows = csv.DictReader(lines, strict=True)
      lost = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
      if lost:
        raise DataError(
          f"{path}: line 1: found the columns {rows.fieldnames or 'none'}, "
          f"expected {' and '.join(_COLUMNS)}"
        )
      for row in rows:
        where = f"{path}: line {rows.line_num}"
        _add(table, row["file"], row["label"], root, where)
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise DataError(f"{path}: cannot be read: {error}") from None
  names = classes(table)
  if len(names) < 2:
    raise DataError(
      f"{path}: found {len(names)} classes ({', '.join(names) or 'no label'}), "
      "expected two or more"
    )
  return table


def _add(
  table: Table, file: str | None, label: str | None, root: str, where: str
) -> None:
  """Adds a row to a table; refuses one that names no image, or one twice."""
  file, label = (
    unicodedata.normalize("NFC", (text or "").strip()) for text in (file, label)
  )
  key = os.path.normpath(file.replace("\\", "/"))
  if not file or key.startswith(("..", "/")):
    raise DataError(
      f"{where}: found the file {printable(file)!r}, expected the path of an "
      f"image below {root}"
    )
  if key in table:
    raise DataError(
      f"{where}: found {printable(file)!r} a second time, expected it once"
    )
  table[key] = label


def classes(table: Table) -> list[str]:
  """Returns the names of the classes of a table, in order."""
  return sorted(set(table.values()) - {""})


def list_labelled(
  root: str, folder: str, table: Table, left_out: LeftOut
) -> Listed:
  """Lists the images under a folder, with the labels of a table.

  Args:
    root: folder that the paths of the table are below.
    folder: folder of the split, `root` or below it.
    table: classes by path, from `read_table`.
    left_out: gets what is left out.
  """
  files = images_below(folder, left_out)
  left_out.counts.pop(".csv", None)
  names = classes(table)
  place = {name: number for number, name in enumerate(names)}
  labels = [
    place.get(table.get(below(root, file), ""), UNLABELLED) for file in files
  ]
  return Listed(files, np.array(labels, np.int32), names)


def below(root: str, file: str) -> str:
  """Returns the path of a file below a folder, as tables compare it."""
  path = os.path.relpath(file, root).replace(os.sep, "/")
  return unicodedata.normalize("NFC", path)


def check(root: str, table: Table, splits: Mapping[str, Listed]) -> None:
  """Refuses a row that names no image, and a split without any label.

  Args:
    root: path of the folder.
    table: classes by path, from `read_table`.
    splits: all images that were listed.

  Raises:
    DataError: names the first of them.
  """
  path = os.path.join(root, NAME)
  files = [below(root, file) for part in splits.values() for file in part.files]
  lost = sorted(table.keys() - set(files))
  if lost:
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    raise DataError(
      f"{path}: found {printable(lost[0])!r}{more}, expected the paths of "
      f"images below {root}"
    )
  for name, part in splits.items():
    if not (part.labels >= 0).any():
      raise DataError(
        f"{path}: found no label of a {name} image, expected some of each split"
      )
