"""Sources: random access to the images and labels of a split."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
from ml_collections import ConfigDict

from sslprune_jax.runtime.errors import UserError

Rows = dict[str, np.ndarray]

UNLABELLED = -1


class DataError(UserError, ValueError):
  """Data that are not what was asked for; one line says what to do."""


@dataclasses.dataclass(frozen=True)
class Spec:
  """A split of a data set, and how its images are delivered.

  Attributes:
    name: `digits` or `digits_half` (1,797 images that scikit-learn ships, a
      fifth or a half of them to test on), `folder`, `places205`, or any TFDS
      image classification set that is prepared, with one label an image or,
      such as `voc/2007`, several.
    split: `train` or `test`; for Places205 `train` or `validation`; for TFDS
      anything that TFDS understands.
    data_dir: folder of the images, or of the prepared TFDS sets; None for the
      place where TFDS looks by itself.
    image_size: height and width to deliver, in pixels; None for the size they
      are stored in, where all have one.
    channels: 3 for RGB, 1 for grey; None for those they are stored with, and
      for 3 where they are files.
    workers: threads that decode; None for one a core.
    whole: whether evaluation resizes the whole image where it has another
      size, in place of its central crop.
    resident: whether all images are read into memory, in the evaluation view.
    crop_scale: least and largest share of the area of the random crops that are
      taken while images are decoded.
    max_pixels: most pixels of an image; one of more counts as broken.
    broken: whether a broken file of a folder is refused, "refuse", or left out,
      "skip".
  """

  name: str
  split: str
  data_dir: str | None = None
  image_size: int | None = None
  channels: int | None = None
  workers: int | None = None
  whole: bool = False
  resident: bool = False
  crop_scale: tuple[float, float] = (0.08, 1.0)
  max_pixels: int = 100_000_000
  broken: str = "refuse"

  @classmethod
  def from_config(
    cls, dataset: ConfigDict, split: str, whole: bool = False
  ) -> Self:
    """Reads what a configuration says of a data set.

    Args:
      dataset: section such as `config.dataset`, validated.
      split: value of `dataset.train` or `dataset.test`.
      whole: whether images are resized whole, not cropped at the centre.
    """
    return cls(
      dataset.name,
      split,
      dataset.data_dir or None,
      dataset.image_size,
      dataset.channels,
      dataset.workers,
      whole,
      dataset.resident,
      tuple(dataset.crop_scale) or cls.crop_scale,
      dataset.max_pixels,
      dataset.broken,
    )


class Source(Protocol):
  """Random access to images and labels.

  Attributes:
    name: name of the data set.
    split: name of the split.
    image_shape: (H, W, C) as read; C is 1 or 3.
    num_classes: number of classes; 0 where nothing is labelled.
    class_names: one name a class.
    crops: whether `read` takes random crops by itself when it is given seeds.
      Sources with images of one fixed size leave that to the device.
    multi_label: whether an image may show several classes: labels are then
      i32[N,K], 1 where the class is there, 0 where it is not, -1 where the
      answer does not count (VOC: all its objects are difficult).
  """

  name: str
  split: str
  image_shape: tuple[int, int, int]
  num_classes: int
  class_names: tuple[str, ...]
  crops: bool
  multi_label: bool

  def __len__(self) -> int:
    """Returns the number of images."""

  @property
  def labels(self) -> np.ndarray:
    """Labels i32[N], -1 where unlabelled; i32[N,K] where `multi_label`.

    They may take a pass over the files.
    """

  def read(self, indices: np.ndarray, seeds: np.ndarray | None = None) -> Rows:
    """Reads images: pure, whatever the number of threads.

    Args:
      indices: i64[B], in any order, repeated or not.
      seeds: u64[B] for a random crop of each image where the source `crops`;
        None for the evaluation view.

    Returns:
      `image` u8[B,H,W,C] and `label` i32[B], or i32[B,K].
    """


@dataclasses.dataclass(frozen=True)
class Images:
  """What a network is trained on, and what it is tested on.

  Attributes:
    train: training images.
    test: test images.
  """

  train: Source
  test: Source

  def scored_source(self, on: str) -> Source:
    """Returns the images that a task has answers for.

    Args:
      on: "test", or "train": `Task.scored_on`.
    """
    return self.test if on == "test" else self.train


class ArraySource:
  """Images in memory; the attributes are those of `Source`."""

  crops = False

  def __init__(
    self,
    images: np.ndarray | Sequence[np.ndarray],
    labels: np.ndarray | None = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    split: str = "train",
  ):
    """Checks and keeps the arrays.

    Args:
      images: u8[N,H,W,C], or N arrays of one shape.
      labels: int[N] in [0, number of classes), -1 where an image has none; or
        int[N,K] of -1, 0 and 1 where an image may show several of K classes.
      class_names: one name a class; by default their numbers.
      name: name of the data set.
      split: name of the split.

    Raises:
      DataError: names the array, what was found and what was expected.
    """
    self.images = _checked_images(images)
    if labels is None:
      labels = np.full(len(self.images), UNLABELLED, np.int32)
    self.labels = np.asarray(labels)
    self.multi_label = self.labels.ndim == 2
    if class_names is None and self.labels.dtype.kind in "iu":
      several = self.labels.shape[1] if self.multi_label else 0
      number = several or int(self.labels.max(initial=-1)) + 1
      class_names = map(str, range(number))
    self.class_names = tuple(class_names or ())
    self.num_classes = len(self.class_names)
    self.labels = _checked_labels(
      self.labels, len(self.images), self.num_classes
    )
    self.name, self.split = name, split
    self.image_shape = self.images.shape[1:]

  def __len__(self) -> int:
    return len(self.images)

  def read(self, indices: np.ndarray, seeds: np.ndarray | None = None) -> Rows:
    """See `Source.read`; these images are cropped on the device."""
    del seeds
    return {"image": self.images[indices], "label": self.labels[indices]}


def _checked_images(images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
  if not isinstance(images, np.ndarray):
    shapes = sorted({np.shape(image) for image in images})
    if len(shapes) > 1:
      raise DataError(
        f"images: found shapes {', '.join(map(str, shapes))}, "
        "expected one shape (H, W, C) for all"
      )
    images = np.asarray(images)
  if images.dtype != np.uint8:
    raise DataError(f"images: found {images.dtype}, expected uint8")
  if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
    raise DataError(
      f"images: found shape {images.shape}, expected (N, H, W, 1 or 3)"
    )
  return images


def _checked_labels(
  labels: np.ndarray, size: int, num_classes: int
) -> np.ndarray:
  shape = (size, num_classes)[: max(1, labels.ndim)]
  if labels.shape != shape or labels.dtype.kind not in "iu":
    raise DataError(
      f"labels: found {labels.dtype} of shape {labels.shape}, "
      f"expected integers of shape {shape}"
    )
  if labels.ndim == 2:
    wrong = labels[(labels < -1) | (labels > 1)]
    if wrong.size:
      raise DataError(
        f"labels: found {wrong[0]}, expected 1 (the class is there), 0, or -1 "
        "(not counted)"
      )
    return labels.astype(np.int32)
  wrong = labels[(labels < UNLABELLED) | (labels >= num_classes)]
  if wrong.size:
    raise DataError(
      f"labels: found {wrong[0]}, expected 0 to {num_classes - 1} "
      f"({num_classes} classes), or -1 for an unlabelled image"
    )
  return labels.astype(np.int32)
