"""One entry to all sources that have a name."""

import functools
import importlib.util
import pathlib

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from sslprune_jax.data.folder import load_folder
from sslprune_jax.data.places import load_places205
from sslprune_jax.data.sources import ArraySource, DataError, Source
from sslprune_jax.data.subsets import holdout, in_memory

_RESIDENT_LIMIT = 8 * 2**30  # bytes of images that every device can hold


def load(
  name: str,
  split: str,
  *,
  data_dir: str | None = None,
  image_size: int | None = None,
  channels: int | None = None,
  workers: int | None = None,
  whole: bool = False,
) -> Source:
  """Opens a source by name; nothing is ever downloaded.

  Args:
    name: `digits` (1,797 images that scikit-learn ships), `folder`,
      `places205`, or any TFDS image classification set that is prepared, with
      one label an image or, such as `voc/2007`, several.
    split: `train` or `test`; for Places205 `train` or `validation`; for TFDS
      anything that TFDS understands.
    data_dir: the folder, or where the TFDS sets lie.
    image_size: height and width to deliver; by default as stored, where all
      images have one size.
    channels: 3 for RGB, 1 for grey; by default as stored, 3 for a folder.
    workers: threads that decode; one a core by default.
    whole: whether images are resized whole where they have another size, in
      place of the central crop of the evaluation view.

  Returns:
    The source.

  Raises:
    DataError: one line that says what was found, and what was expected.
  """
  if channels not in (None, 1, 3):
    raise DataError(f"channels: found {channels}, expected 1 or 3")
  if name == "digits":
    return _digits(split, image_size, channels)
  if name in ("folder", "places205"):
    if data_dir is None or image_size is None:
      field = "data_dir" if data_dir is None else "image_size"
      raise DataError(f"{field}: found none, expected one for {name}")
    load_files = load_folder if name == "folder" else load_places205
    return load_files(
      data_dir,
      split,
      image_shape=(image_size, image_size, channels or 3),
      workers=workers,
      whole=whole,
    )
  # Imported here, as the import takes 0.4 s that other sources do not need.
  from sslprune_jax.data.tfds import load_tfds

  return load_tfds(name, split, data_dir, image_size, channels, workers, whole)


def load_dataset(
  dataset: ConfigDict, split: str, whole: bool = False
) -> Source:
  """Opens the data set that a configuration names.

  Args:
    dataset: a section such as `config.dataset`, validated.
    split: one of `dataset.train` and `dataset.test`.
    whole: whether images are resized whole, not cropped at the centre.

  Returns:
    The images, in memory where `dataset.resident` says so.

  Raises:
    DataError: what was found, and what was expected.
  """
  return _load(
    dataset.name,
    split,
    dataset.data_dir or None,
    dataset.image_size,
    dataset.channels,
    dataset.workers,
    whole,
    dataset.resident,
  )


# Studies of one process, and the targets of their networks, share images.
@functools.lru_cache(maxsize=8)
def _load(
  name, split, data_dir, image_size, channels, workers, whole, resident
):
  source = load(
    name,
    split,
    data_dir=data_dir,
    image_size=image_size,
    channels=channels,
    workers=workers,
    whole=whole,
  )
  return in_memory(source, _RESIDENT_LIMIT) if resident else source


def _digits(
  split: str, image_size: int | None, channels: int | None
) -> ArraySource:
  """Returns scikit-learn's handwritten digits: 8 x 8, or enlarged."""
  if split not in ("train", "test"):
    raise DataError(f"split: found {split}, expected train or test")
  images, labels = _read_digits()
  rows = holdout(labels, split)
  grey = np.rint(images[rows] * (255 / 16)).astype(np.uint8)
  size = (image_size or 8,) * 2
  grey = np.stack(
    [
      Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
      for image in grey
    ]
  )
  return ArraySource(
    np.repeat(grey[..., None], channels or 1, axis=-1),
    labels[rows],
    class_names=[str(digit) for digit in range(10)],
    name="digits",
    split=split,
  )


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
