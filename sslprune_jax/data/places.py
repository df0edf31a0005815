"""Places205, from the lists and images of its authors.

TFDS has Places365 only, another data set.
"""

import os
import re

import numpy as np

from sslprune_jax.data.folder import FileSource
from sslprune_jax.data.sources import DataError, Spec

NUM_CLASSES = 205
_LISTS = {
  "train": "trainvalsplit_places205/train_places205.csv",
  "validation": "trainvalsplit_places205/val_places205.csv",
}
_NAMES = "trainvalsplit_places205/categoryIndex_places205.csv"
_IMAGES = "data/vision/torralba/deeplearning/images256"


def load_places205(spec: Spec) -> FileSource:
  """Lists Places205.

  Args:
    spec: split, and how its images are delivered. `data_dir` is where
      `imagesPlaces205_resize.tar.gz` and `trainvalsplit_places205.tar.gz` were
      unpacked; `split` is `train` (2,448,873 images) or `validation` (20,500).

  Returns:
    The source; files are in the order of the list.

  Raises:
    DataError: names the file, what was found and what was expected.
  """
  if spec.split not in _LISTS:
    raise DataError(
      f"split: found {spec.split}, expected one of {tuple(_LISTS)}"
    )
  root = os.path.expanduser(spec.data_dir)
  rows = _read(os.path.join(root, _LISTS[spec.split]))
  images = os.path.join(root, _IMAGES)
  if not os.path.isdir(images):
    raise DataError(
      f"{images}: found no folder, expected the images of Places205 below it"
    )
  names = [str(label) for label in range(NUM_CLASSES)]
  if os.path.exists(os.path.join(root, _NAMES)):
    for name, label in _read(os.path.join(root, _NAMES)):
      names[label] = name
  return FileSource(
    spec,
    [os.path.join(images, name) for name, _ in rows],
    np.array([label for _, label in rows], np.int32),
    names,
  )


def _read(path: str) -> list[tuple[str, int]]:
  """Reads lines `name label`."""
  if not os.path.exists(path):
    raise DataError(
      f"{path}: found no list, expected that of Places205; unpack "
      "trainvalsplit_places205.tar.gz in data_dir"
    )
  try:
    with open(path, encoding="utf-8") as file:
      lines = file.readlines()
  except (OSError, UnicodeDecodeError) as error:
    raise DataError(f"{path}: cannot be read ({error})") from None
  rows = []
  for number, line in enumerate(lines, start=1):
    name, _, label = line.strip().rpartition(" ")
    is_number = re.fullmatch("[0-9]{1,4}", label)
    if not (name and is_number and int(label) < NUM_CLASSES):
      raise DataError(
        f"{path}, line {number}: found {line.strip()!r}, expected a name and "
        f"a label from 0 to {NUM_CLASSES - 1}"
      )
    rows.append((name, int(label)))
  if not rows:
    raise DataError(f"{path}: found an empty list")
  return rows
