"""What well-known data sets are, without their images."""

from collections.abc import Mapping

import numpy as np

from sslprune_jax.data.sources import DataError, Rows, Spec

# Images by split, classes, and pixels of a side where they are all of one.
_SETS = {
  "cifar10": ({"train": 50_000, "test": 10_000}, 10, 32),
  "fashion_mnist": ({"train": 60_000, "test": 10_000}, 10, 28),
  "imagenet2012": ({"train": 1_281_167, "validation": 50_000}, 1000, None),
}
NAMES = tuple(_SETS)


class Outline:
  """A split without its images; the attributes are those of `Source`.

  Its labels say no more than that there are as many images of every class.
  """

  multi_label = False

  def __init__(self, spec: Spec):
    """Looks a split up.

    Args:
      spec: a split of one of `NAMES`, or a part of one as TFDS writes it,
        `train[:10%]`, with the size and the channels of its images.

    Raises:
      DataError: there is no such split.
    """
    name, split, size = spec.name, spec.split, spec.image_size
    splits, self.num_classes, side = _SETS[name]
    # As what is streamed does: see `data.tfds`.
    self.crops = not spec.resident and size != side
    count = _count(split, splits, name)
    self.name, self.split = name, split
    self.image_shape = (size, size, spec.channels)
    self.class_names = tuple(map(str, range(self.num_classes)))
    self.labels = np.arange(count, dtype=np.int32) % self.num_classes

  def __len__(self) -> int:
    return len(self.labels)

  def read(self, indices: np.ndarray, seeds: np.ndarray | None = None) -> Rows:
    """Refuses: there are no images."""
    raise DataError(f"{self.name}: found an outline, expected its images")


def _count(split: str, splits: Mapping[str, int], name: str) -> int:
  """Counts the images of a split, or of a part of one."""
  import tensorflow_datasets as tfds  # Takes seconds.

  sizes = {
    each: tfds.core.SplitInfo(name=each, shard_lengths=[size], num_bytes=0)
    for each, size in splits.items()
  }
  try:
    parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(sizes)
  except (ValueError, AssertionError):
    raise DataError(
      f"split: found {split}, expected one of {', '.join(splits)} of {name}, "
      "or a part such as train[:10%]"
    ) from None
  count = sum(
    len(range(splits[part.splitname])[part.from_ : part.to]) for part in parts
  )
  if not count:
    raise DataError(f"split: found {split}, which is empty")
  return count
