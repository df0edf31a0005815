"""The one entry to all data sets: a `Spec` in, its `Source` out."""

import functools
import importlib.util
import pathlib
import re

import numpy as np
from PIL import Image

from sslprune_jax.data.folder import load_folder
from sslprune_jax.data.places import load_places205
from sslprune_jax.data.sources import ArraySource, DataError, Source, Spec
from sslprune_jax.data.subsets import holdout, in_memory

_DIGITS = re.compile(r"(train|test)(?:\[(\d+%?)?:(\d+%?)?\])?")
# Sets of scikit-learn's digits -> share that is tested on.
_TEST_SHARES = {"digits": 0.2, "digits_half": 0.5}
_RESIDENT_LIMIT = 8 * 2**30  # bytes of images that every device can hold


# Studies of one process, and the targets of their networks, share images.
@functools.lru_cache(maxsize=8)
def load(spec: Spec) -> Source:
  """Opens a split of a data set; nothing is ever downloaded.

  The last eight are kept: a spec that was opened before gives the same source,
  whatever has changed on disk since.

  Args:
    spec: split, and how its images are delivered.

  Returns:
    The images, in memory where `spec.resident`.

  Raises:
    DataError: one line that says what was found, and what was expected.
  """
  source = _open(spec)
  if not spec.resident:
    return source
  kept = in_memory(source, _RESIDENT_LIMIT)
  # What was said of files holds of their images in memory.
  kept.notes = getattr(source, "notes", ())
  kept.left_out = getattr(source, "left_out", {})
  kept.listing = getattr(source, "listing", [])
  return kept


def _open(spec: Spec) -> Source:
  if spec.channels not in (None, 1, 3):
    raise DataError(f"channels: found {spec.channels}, expected 1 or 3")
  if spec.name in _TEST_SHARES:
    return _digits(spec)
  if spec.name in ("folder", "places205"):
    for field in ("data_dir", "image_size"):
      if getattr(spec, field) is None:
        raise DataError(f"{field}: found none, expected one for {spec.name}")
    return (load_folder if spec.name == "folder" else load_places205)(spec)
  # Imported here, as the import takes 0.4 s that other sources do not need.
  from sslprune_jax.data.tfds import load_tfds

  return load_tfds(spec)


def _digits(spec: Spec) -> ArraySource:
  """Returns scikit-learn's handwritten digits: 8 x 8, or enlarged."""
  split = spec.split
  match = _DIGITS.fullmatch(split)
  if not match:
    raise DataError(
      f"split: found {split}, expected train or test, or a slice of one, such "
      "as train[:80%]"
    )
  images, labels = _read_digits()
  rows = holdout(labels, match[1], _TEST_SHARES[spec.name])
  rows = rows[_place(match[2], len(rows)) : _place(match[3], len(rows))]
  if not rows.size:
    raise DataError(f"split: found {split}, which is empty")
  grey = np.rint(images[rows] * (255 / 16)).astype(np.uint8)
  size = (spec.image_size or 8,) * 2
  grey = np.stack(
    [
      Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
      for image in grey
    ]
  )
  return ArraySource(
    np.repeat(grey[..., None], spec.channels or 1, axis=-1),
    labels[rows],
    class_names=[str(digit) for digit in range(10)],
    name=spec.name,
    split=split,
  )


def _place(text: str | None, size: int) -> int | None:
  """Returns where a slice begins or ends: an image, or a share in percent."""
  if text is None or not text.endswith("%"):
    return None if text is None else int(text)
  return round(size * int(text[:-1]) / 100)


@functools.cache
def _read_digits() -> tuple[np.ndarray, np.ndarray]:
  """Reads the digits from the file that scikit-learn ships, without its code.

  Its import takes a second, and the file has 57 kB.

  Returns:
    f64[1797,8,8] from 0 to 16, and labels i64[1797].
  """
  (package,) = importlib.util.find_spec("sklearn").submodule_search_locations
  path = pathlib.Path(package) / "datasets" / "data" / "digits.csv.gz"
  rows = np.loadtxt(path, delimiter=",")
  return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)
