"""Choosing from a source: subsets, labelled fractions, hold-outs, memory."""

import functools
import math

import numpy as np

from sslprune_jax.data.sources import (
  UNLABELLED,
  ArraySource,
  DataError,
  Rows,
  Source,
)
from sslprune_jax.runtime import rng

# Images read at a time into memory: as many as so many bytes hold, and never
# fewer than these. Threads share them, and each share begins with a fetch.
_CHUNK, _CHUNK_BYTES = 1024, 2**24


class _Subset:
  """Some images of another source, some labels hidden."""

  def __init__(
    self, source: Source, indices: np.ndarray, labels: np.ndarray | None = None
  ):
    self._source, self._indices, self._labels = source, indices, labels
    self.name, self.split = source.name, source.split
    self.image_shape, self.crops = source.image_shape, source.crops
    self.num_classes = source.num_classes
    self.multi_label = source.multi_label
    self.class_names = source.class_names

  @functools.cached_property
  def labels(self) -> np.ndarray:
    known = self._labels is not None  # Others may take a pass over all files.
    return self._labels if known else self._source.labels[self._indices]

  def __len__(self) -> int:
    return len(self._indices)

  def read(self, indices: np.ndarray, seeds: np.ndarray | None = None) -> Rows:
    rows = self._source.read(self._indices[indices], seeds)
    known = self._labels is not None
    return {**rows, "label": self._labels[indices]} if known else rows


def subset(source: Source, indices: np.ndarray) -> Source:
  """Returns some images of a source, as a source.

  Args:
    source: images of any kind; those in memory stay in memory.
    indices: i64[M], places in the source.

  Returns:
    A source of M images, numbered 0 to M - 1 in the order of `indices`.
  """
  indices = check_indices(indices, len(source))
  if not isinstance(source, ArraySource):
    return _Subset(source, indices)
  return _arrays(source.images[indices], source.labels[indices], source)


def hide_labels_except(source: Source, indices: np.ndarray) -> Source:
  """Hides all labels of a source but those of some images.

  Args:
    source: images of any kind; those in memory are shared.
    indices: i64[M], places of the images that stay labelled.

  Returns:
    A source of the same images in the same order; hidden labels are -1.
  """
  indices = check_indices(indices, len(source))
  labels = np.full(len(source), UNLABELLED, np.int32)
  labels[indices] = source.labels[indices]
  if not isinstance(source, ArraySource):
    return _Subset(source, np.arange(len(source)), labels)
  return _arrays(source.images, labels, source)


def check_indices(indices: np.ndarray, size: int) -> np.ndarray:
  """Refuses indices that are not integers from 0 to size - 1.

  Args:
    indices: int[M], places in a source.
    size: number of images of the source.

  Returns:
    The indices, as an array.

  Raises:
    DataError: what was found, and what was expected.
  """
  indices = np.asarray(indices)
  if indices.ndim != 1 or indices.dtype.kind not in "iu":
    raise DataError(
      f"indices: found {indices.dtype} of shape {indices.shape}, "
      "expected one axis of integers"
    )
  if indices.size and not 0 <= indices.min() <= indices.max() < size:
    wrong = indices.min() if indices.min() < 0 else indices.max()
    raise DataError(f"indices: found {wrong}, expected 0 to {size - 1}")
  return indices


def sample_per_class(
  labels: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
  """Draws a fraction of the images of every class.

  A larger fraction of the same seed contains a smaller one.

  Args:
    labels: i32[N], all labelled.
    fraction: share of every class, in (0, 1]; rounded half up to images, at
      least one.
    seed: integer, 0 or more.

  Returns:
    i64[M], places of the images, sorted.

  Raises:
    DataError: an impossible fraction, or an image without a label.
  """
  _check_fraction(labels, fraction, "every class")
  order = np.argsort(rng.raw(seed, "subset", 0, len(labels)), kind="stable")
  # By class, and in that order within one: a pass over all for each class takes
  # seconds of ImageNet.
  order = order[np.argsort(labels[order], kind="stable")]
  _, sizes = np.unique(labels, return_counts=True)
  chosen = [
    members[: max(1, math.floor(fraction * len(members) + 0.5))]
    for members in np.split(order, np.cumsum(sizes)[:-1])
  ]
  return np.sort(np.concatenate(chosen))


def sample_classes(
  labels: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
  """Draws a fraction of the classes, and takes all their images.

  A larger fraction of the same seed contains a smaller one.

  Args:
    labels: i32[N], all labelled.
    fraction: share of the classes, in (0, 1]; rounded half up, at least one.
    seed: integer, 0 or more.

  Returns:
    i64[M], places of the images, sorted.

  Raises:
    DataError: an impossible fraction, or an image without a label.
  """
  _check_fraction(labels, fraction, "classes")
  classes = np.unique(labels)
  order = np.argsort(rng.raw(seed, "classes", 0, len(classes)))
  count = max(1, math.floor(fraction * len(classes) + 0.5))
  return np.flatnonzero(np.isin(labels, classes[order[:count]]))


def _check_fraction(labels: np.ndarray, fraction: float, whole: str) -> None:
  if not 0 < fraction <= 1:
    raise DataError(f"fraction: found {fraction}, expected 0 to 1, 0 excluded")
  unlabelled = int(np.sum(labels < 0))
  if unlabelled:
    raise DataError(
      f"a fraction of {whole} needs labels; {unlabelled} of {len(labels)} "
      "images have none"
    )


def holdout(labels: np.ndarray, split: str, share: float = 0.2) -> np.ndarray:
  """Splits a set that comes without a test split, always in the same way.

  Args:
    labels: i32[N]; one label for all where there are no classes.
    split: `test`, a share of every class, or `train`, the rest.
    share: share that is tested on; a larger one contains a smaller one.

  Returns:
    i64[M], places of the images, sorted.
  """
  test = sample_per_class(labels, fraction=share, seed=0)
  if split == "test":
    return test
  return np.setdiff1d(np.arange(len(labels)), test)


def in_memory(source: Source, limit_bytes: int) -> ArraySource:
  """Reads a whole source into memory, in the evaluation view.

  Args:
    source: images of any kind.
    limit_bytes: the most memory that its images may take, in bytes.

  Returns:
    The same images and labels as arrays.

  Raises:
    DataError: the images take more.
  """
  if isinstance(source, ArraySource):
    return source
  size = len(source) * math.prod(source.image_shape)
  if size > limit_bytes:
    raise DataError(
      f"{source.name} {source.split}: {len(source)} images of "
      f"{source.image_shape} take {size / 1e9:.2f} GB in memory, more than "
      f"limit_bytes = {limit_bytes}; raise it, or stream the images"
    )
  images = np.empty((len(source), *source.image_shape), np.uint8)
  labels = []
  count = max(_CHUNK, _CHUNK_BYTES // math.prod(source.image_shape))
  for start in range(0, len(source), count):
    rows = np.arange(start, min(start + count, len(source)))
    chunk = source.read(rows)
    images[rows] = chunk["image"]
    labels.append(chunk["label"])
  return _arrays(images, np.concatenate(labels), source)


def _arrays(
  images: np.ndarray, labels: np.ndarray, source: Source
) -> ArraySource:
  """Returns images in memory that are called what their source is."""
  return ArraySource(
    images,
    labels,
    class_names=source.class_names,
    name=source.name,
    split=source.split,
  )
