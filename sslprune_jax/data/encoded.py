"""Sources of image files: fetched and decoded by threads on demand."""

import abc
import concurrent.futures
import functools
import os
from collections.abc import Iterable

import numpy as np

from sslprune_jax.data.decode import decode
from sslprune_jax.data.sources import Rows, Spec

Label = int | np.ndarray

# A thread takes several images at once, as a fetch costs a millisecond; but all
# threads are to end a batch together.
_SMALLEST_CHUNK, _CHUNKS_A_THREAD = 16, 4


class EncodedSource(abc.ABC):
  """Images decoded when they are read; the attributes are those of `Source`.

  Pillow releases the interpreter while it decodes, so threads suffice.
  """

  lists_labels = True  # False where labels take a pass over all files.

  def __init__(
    self,
    spec: Spec,
    image_shape: tuple[int, int, int],
    class_names: Iterable[str],
    *,
    crops: bool,
    multi_label: bool = False,
  ):
    """Keeps what all such sources have in common.

    Args:
      spec: split, and how its images are delivered.
      image_shape: (H, W, C) to deliver.
      class_names: one name a class.
      crops: attribute of `Source`.
      multi_label: attribute of `Source`.
    """
    self.name, self.split, self.whole = spec.name, spec.split, spec.whole
    self._crop_scale, self._max_pixels = spec.crop_scale, spec.max_pixels
    self._bits = 16
    self.image_shape = image_shape
    self.class_names = tuple(class_names)
    self.num_classes = len(self.class_names)
    self.crops, self.multi_label = crops, multi_label
    self._workers = spec.workers or os.cpu_count() or 1
    self._threads = concurrent.futures.ThreadPoolExecutor(
      self._workers, thread_name_prefix="decode"
    )

  @abc.abstractmethod
  def __len__(self) -> int:
    """Returns the number of images."""

  @abc.abstractmethod
  def _fetch(self, indices: list[int]) -> list[tuple[bytes, Label]]:
    """Returns the files and labels of some images; called by threads."""

  @abc.abstractmethod
  def _where(self, index: int) -> str:
    """Returns what to call an image in an error."""

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """Labels i32[N] or i32[N,K]."""
    return self.read_labels()

  def read_labels(self) -> np.ndarray:
    """Reads the labels, by a pass over all files that decodes none."""
    chunks = np.array_split(np.arange(len(self)), max(1, len(self) // 1024))
    fetched = (self._fetch(chunk.tolist()) for chunk in chunks)
    return np.array([row[1] for rows in fetched for row in rows], np.int32)

  def read(self, indices: np.ndarray, seeds: np.ndarray | None = None) -> Rows:
    """See `Source.read`."""
    image = np.empty((len(indices), *self.image_shape), np.uint8)
    classes = (self.num_classes,) if self.multi_label else ()
    label = np.empty((len(indices), *classes), np.int32)

    def work(rows: range) -> None:
      fetched = self._fetch([int(indices[row]) for row in rows])
      for row, (data, label_of_row) in zip(rows, fetched, strict=True):
        cropped = self.crops and seeds is not None
        image[row] = decode(
          data,
          self.image_shape,
          int(seeds[row]) if cropped else None,
          self._where(int(indices[row])),
          self.whole,
          self._crop_scale,
          self._max_pixels,
          self._bits,
        )
        label[row] = label_of_row

    size = len(indices) // (_CHUNKS_A_THREAD * self._workers)
    size = max(size, _SMALLEST_CHUNK)
    starts = range(0, len(indices), size)
    chunks = [range(s, min(s + size, len(indices))) for s in starts]
    for _ in self._threads.map(work, chunks):
      pass  # raises what a thread raised
    return {"image": image, "label": label}
