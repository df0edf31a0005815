"""What lies in a folder: its subfolders and images, and what is left out."""

import collections
import dataclasses
import functools
import os
import pathlib
import unicodedata
from collections.abc import Callable

from PIL import features

from sslprune_jax.data.opening import reads_heif
from sslprune_jax.data.sources import DataError
from sslprune_jax.runtime.errors import printable

# Names of splits; a test split of the first two is taken before one of the
# others.
TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation")
# Left by cameras, viewers, network drives and archivers; with all hidden ones.
_DEBRIS = ("@eadir", "__macosx", "thumbs.db", "desktop.ini", "lost+found")
_DEBRIS += ("$recycle.bin", "__pycache__", "system volume information")
_SUFFIXES = (
  *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif"),
  *(".ppm", ".tif", ".tiff"),
)


@dataclasses.dataclass
class LeftOut:
  """What a listing left out.

  Attributes:
    counts: number of entries for each reason.
  """

  counts: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )

  def words(self) -> str:
    """Returns such as "3 hidden, 2 .txt"; "" for nothing."""
    counts = sorted(self.counts.items())
    return printable(", ".join(f"{count} {why}" for why, count in counts))


def name_of(path: str) -> str:
  """Returns the last part of a path, as names compare: in NFC.

  A Mac writes é as two characters, where Linux has one.
  """
  return unicodedata.normalize("NFC", os.path.basename(path))


def scan(folder: str, left_out: LeftOut) -> tuple[list[str], list[str]]:
  """Lists a folder.

  Args:
    folder: path of a folder.
    left_out: gets what is hidden, no image, or no file.

  Returns:
    The paths of its subfolders and of its images, sorted by name; links are
    followed.

  Raises:
    DataError: it cannot be read.
  """
  folders, images = [], []
  try:
    with os.scandir(folder) as entries:
      found = sorted(entries, key=lambda entry: entry.name)
  except OSError as error:
    raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
  for entry in found:
    if entry.name.startswith(".") or entry.name.lower() in _DEBRIS:
      left_out.counts["hidden"] += 1
    elif _holds(entry.is_dir):
      folders.append(entry.path)
    elif reason := _why_no_image(entry):
      left_out.counts[reason] += 1
    else:
      images.append(entry.path)
  return folders, images


def images_below(folder: str, left_out: LeftOut) -> list[str]:
  """Lists the images at any depth under a folder, each folder once.

  Args:
    folder: path of a folder.
    left_out: gets what is left out, links that lead back among it.

  Returns:
    Their paths, those of a folder before those below it.

  Raises:
    DataError: a folder cannot be read, or splits lie in one.
  """
  found, seen, ahead = [], _above(folder), [folder]
  while ahead:
    path = ahead.pop()
    own = _identity(path)
    if own in seen:
      left_out.counts["links that lead back"] += 1
      continue
    seen.add(own)
    folders, images = scan(path, left_out)
    found += images
    refuse_splits(path, folders)
    ahead += reversed(folders)
  return found


def leads_back(folder: str) -> bool:
  """Returns whether a folder is a link to one that it lies in."""
  return _identity(folder) in _above(folder)


def refuse_splits(folder: str, below: list[str]) -> None:
  """Refuses a folder that would be a class, and holds splits.

  Args:
    folder: path of the folder.
    below: paths of its subfolders.

  Raises:
    DataError: a split for training and one for the test are among them.
  """
  names = {name_of(path).lower(): path for path in below}
  train, test = (
    next((names[name] for name in kind if name in names), None)
    for kind in (TRAIN, TEST)
  )
  if train and test:
    raise DataError(
      f"{train}: found a split inside of {name_of(folder)}, which would be a "
      f"class: expected dataset.data_dir={folder}, or splits that hold classes"
    )


def _above(folder: str) -> set[tuple[int, int] | None]:
  """Returns the identities of the folders that a folder lies in."""
  return {
    _identity(parent)
    for path in (os.path.abspath(folder), os.path.realpath(folder))
    for parent in pathlib.Path(path).parents
  } - {None}


def _identity(path: str | pathlib.Path) -> tuple[int, int] | None:
  """Returns device and inode; None where that cannot be known."""
  try:
    status = os.stat(path)
  except OSError:
    return None
  return status.st_dev, status.st_ino


@functools.cache
def suffixes() -> tuple[str, ...]:
  """Returns the suffixes of the images that are read here, in lower case."""
  found = _SUFFIXES
  if features.check("avif"):
    found += (".avif",)
  return (*found, ".heic", ".heif") if reads_heif() else found


def _why_no_image(entry: os.DirEntry) -> str:
  """Returns why an entry that is no folder is left out; "" if it is not."""
  suffix = os.path.splitext(entry.name)[1].lower()
  if suffix in (".heic", ".heif") and not reads_heif():
    return f"{suffix}, which pip install pillow-heif reads"
  # A link to nothing is an image, or a class, that is missing.
  if suffix not in suffixes() and not os.path.exists(entry.path):
    raise DataError(
      f"{entry.path}: found a link to nothing, expected a folder or an image"
    )
  if suffix not in suffixes():
    return suffix or "without suffix"
  if not _holds(entry.is_file) and os.path.exists(entry.path):
    return "no file (a pipe, a socket, a device)"
  return ""


def _holds(check: Callable[[], bool]) -> bool:
  """Returns what a check of an entry finds; a link to itself is nothing."""
  try:
    return check()
  except OSError:
    return False
