"""Labels of a prepared set, kept once they were read.

To read them takes a pass over all images: nine minutes of ImageNet's at every
start, if they were not kept.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
from etils import epath

from sslprune_jax.runtime import atomic, files
from sslprune_jax.runtime.environment import cache_folder

_INFO = "dataset_info.json"
# What NumPy and zipfile raise of an archive with any bit flipped, or cut off.
_DAMAGED = (
  *(EOFError, KeyError, RuntimeError, ValueError),
  zipfile.BadZipFile,
)


def read(
  folder: epath.Path,
  split: str,
  count: int,
  read_all: Callable[[], np.ndarray],
) -> np.ndarray:
  """Reads labels that were kept beside a set, or all, which are then kept.

  Where nothing can be written beside the set, they are kept in the user's
  cache, and else not at all.

  Args:
    folder: folder of a prepared version.
    split: split, or slices of splits, as TFDS writes it.
    count: number of images of it.
    read_all: function that reads the labels from the images' records.

  Returns:
    i32[N] or i32[N,K].
  """
  name = f".labels_{_identify(folder, split)}.npz"
  for place in _places(folder):
    try:
      with np.load(io.BytesIO((place / name).read_bytes())) as kept:
        labels = kept["labels"]
    except (OSError, *_DAMAGED):
      continue
    if len(labels) == count:
      return labels
  labels = read_all()
  # Of buckets the errors are those of several libraries.
  errors = Exception if files.in_bucket(folder) else OSError
  content = io.BytesIO()
  np.savez(content, labels=labels)  # With a checksum, as zip archives have.
  for place in _places(folder):
    try:
      place.mkdir(parents=True, exist_ok=True)
      atomic.write(place / name, content.getvalue())
    except errors:
      continue
    break
  return labels


def _places(folder: epath.Path) -> Iterator[epath.Path]:
  yield folder
  cache = cache_folder()
  if cache is not None:
    yield epath.Path(cache) / "labels"


def _identify(folder: epath.Path, split: str) -> str:
  """Returns a digest that changes with the files of a set, or the split."""
  found = [str(folder), split, (folder / _INFO).read_text()]
  if not files.in_bucket(folder):  # There each file would be a request.
    with os.scandir(folder) as entries:
      found += sorted(
        f"{entry.name} {entry.stat().st_size} {entry.stat().st_mtime_ns}"
        for entry in entries
        if not entry.name.startswith(".")
      )
  return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]
