"""What lies in a folder: its subfolders and images, and what is left out."""

import collections
import dataclasses
import functools
import os
import pathlib
import unicodedata

from PIL import features

from sslprune_jax.data.opening import reads_heif
from sslprune_jax.data.sources import DataError

# Left by cameras, viewers, network drives and archivers; with all hidden ones.
_DEBRIS = ("@eadir", "__macosx", "thumbs.db", "desktop.ini")
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
    return ", ".join(f"{count} {reason}" for reason, count in counts)


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
    elif entry.is_dir():
      folders.append(entry.path)
    elif reason := _why_no_image(entry):
      left_out.counts[reason] += 1
    else:
      images.append(entry.path)
  return folders, images


_Identity = tuple[int, int]  # device, inode


def images_below(
  folder: str, left_out: LeftOut, above: frozenset[_Identity] | None = None
) -> list[str]:
  """Lists the images at any depth under a folder.

  Args:
    folder: path of a folder.
    left_out: gets what is left out, links that lead back among it.
    above: identities of the folders that were passed on the way; by default
      those that it lies in.

  Returns:
    Their paths, those of a folder before those below it.
  """
  if above is None:
    above = frozenset(
      _identity(parent)
      for path in (os.path.abspath(folder), os.path.realpath(folder))
      for parent in pathlib.Path(path).parents
    )
  own = _identity(folder)
  if own in above:
    left_out.counts["links that lead back"] += 1
    return []
  folders, images = scan(folder, left_out)
  for below in folders:
    images += images_below(below, left_out, above | {own})
  return images


def _identity(path: str | pathlib.Path) -> _Identity:
  status = os.stat(path)
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
  if suffix not in suffixes():
    return suffix or "without suffix"
  # A link to nothing is an image that is missing: it is not passed over.
  if not entry.is_file() and os.path.exists(entry.path):
    return "no file (a pipe, a socket, a device)"
  return ""
