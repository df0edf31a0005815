"""A folder of images, one subfolder a class, or no subfolders: unlabelled."""

import os
from collections.abc import Sequence

import numpy as np

from sslprune_jax.data.encoded import EncodedSource
from sslprune_jax.data.sources import UNLABELLED, DataError, Spec
from sslprune_jax.data.subsets import holdout

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_TEST_FOLDERS = ("test", "val", "validation")


class FileSource(EncodedSource):
  """Images listed in memory and read from files."""

  def __init__(
    self,
    spec: Spec,
    files: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
  ):
    """Keeps the list.

    Args:
      spec: split, and how its images are delivered, with an `image_size`.
      files: N paths.
      labels: i32[N], -1 where unlabelled.
      class_names: one name a class.
    """
    size, channels = spec.image_size, spec.channels or 3
    super().__init__(spec, (size, size, channels), class_names, crops=True)
    self._files, self._labels = files, labels

  def __len__(self) -> int:
    return len(self._files)

  @property
  def labels(self) -> np.ndarray:
    """Labels i32[N], -1 where unlabelled."""
    return self._labels

  def _fetch(self, indices: list[int]) -> list[tuple[bytes, int]]:
    return [(self._bytes(i), int(self._labels[i])) for i in indices]

  def _bytes(self, index: int) -> bytes:
    path = self._files[index]
    try:
      with open(path, "rb") as file:
        return file.read()
    except OSError as error:
      raise DataError(f"{path}: cannot be read: {error.strerror}") from error

  def _where(self, index: int) -> str:
    return self._files[index]


def load_folder(spec: Spec) -> FileSource:
  """Lists a folder.

  Where `train` and one of `test`, `val`, `validation` lie in it, they are the
  splits. Otherwise a fifth of every class is held out for `test`, always the
  same files as long as the folder does not change.

  Args:
    spec: split, and how its images are delivered. `data_dir` holds the splits,
      the classes, or images without labels; `split` is `train` or `test`.

  Returns:
    The source; files are in the order of their names.

  Raises:
    DataError: names the folder, what was found and what was expected.
  """
  split = spec.split
  if split not in ("train", "test"):
    raise DataError(f"split: found {split}, expected train or test")
  root = os.path.expanduser(spec.data_dir)
  if not os.path.isdir(root):
    raise DataError(f"data_dir: found no folder {root}")
  folders = _folders(root)
  tests = [name for name in _TEST_FOLDERS if name in folders]
  if "train" in folders and tests:
    train = os.path.join(root, "train")
    names, files, labels = _list(train)
    if split == "test":
      test = os.path.join(root, tests[0])
      names, files, labels = _list(test, names)
  else:
    names, files, labels = _list(root)
    alone = np.flatnonzero(np.bincount(labels + 1) == 1) - 1
    if alone.size:
      place = os.path.join(root, names[alone[0]]) if names else root
      raise DataError(
        f"{place}: found 1 image, expected 2 or more, to hold one out for test"
      )
    rows = holdout(labels - labels.min(), split)  # unlabelled: one class
    files, labels = [files[row] for row in rows], labels[rows]
  return FileSource(spec, files, labels, names)


def _folders(root: str) -> list[str]:
  with os.scandir(root) as entries:
    return sorted(
      e.name for e in entries if e.is_dir() and not e.name.startswith(".")
    )


def _images(root: str) -> list[str]:
  """Returns the images at any depth under a folder, sorted."""
  return sorted(
    os.path.join(folder, file)
    for folder, _, files in os.walk(root)
    for file in files
    if file.lower().endswith(_SUFFIXES) and not file.startswith(".")
  )


def _list(
  root: str, names: list[str] | None = None
) -> tuple[list[str], list[str], np.ndarray]:
  """Returns the class names, files, and labels under a folder.

  Args:
    root: folder that holds classes, or images.
    names: classes that there may be; by default the subfolders.
  """
  folders = _folders(root)
  if names is None:
    names = folders
  unknown = sorted(set(folders) - set(names))
  if unknown:
    raise DataError(
      f"{os.path.join(root, unknown[0])}: found a class that the training "
      f"images do not have, expected {', '.join(names[:10]) or 'no classes'}"
    )
  files, labels = [], []
  for folder in folders:
    images = _images(os.path.join(root, folder))
    _expect_images(images, os.path.join(root, folder))
    files += images
    labels += [names.index(folder)] * len(images)
  with os.scandir(root) as entries:
    loose = sorted(e.path for e in entries if e.is_file())
  loose = [path for path in loose if path.lower().endswith(_SUFFIXES)]
  if names and loose:
    raise DataError(
      f"{loose[0]}: found an image beside class folders, expected it in one"
    )
  if not folders:
    _expect_images(loose, root)
    files, labels = loose, [UNLABELLED] * len(loose)
  return names, files, np.array(labels, np.int32)


def _expect_images(images: list[str], folder: str) -> None:
  if not images:
    raise DataError(
      f"{folder}: found no image, expected {', '.join(_SUFFIXES)} files"
    )
