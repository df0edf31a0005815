"""The labelled images that a network is judged on."""

import functools

import numpy as np
from ml_collections import ConfigDict

from sslprune_jax import data, study_data
from sslprune_jax.config import ConfigError
from sslprune_jax.study_data import Images


class Target:
  """A data set as the network sees it: of its image size, normalised alike.

  Attributes:
    dataset: the section of `config.dataset`, with what the target has of its
      own in place.
    crop: what of an image of another size is seen in evaluation: the "centre"
      or the "whole".
    train: all training images.
    test: the test images.
  """

  def __init__(self, config: ConfigDict, name: str, whole: bool):
    """Opens the data set.

    Args:
      config: validated.
      name: of `config.transfer.targets`.
      whole: whether images of another size are seen whole.

    Raises:
      ConfigError: not all its images are labelled.
      DataError: what was found, and what was expected.
    """
    self.name = name
    self.dataset = config.dataset.copy_and_resolve_references()
    self.dataset.update(config.transfer.targets[name])
    self.crop = "whole" if whole else "centre"
    self.train, self.test = (
      study_data.load(self.dataset, split, whole)
      for split in (self.dataset.train, self.dataset.test)
    )
    for source in (self.train, self.test):
      unlabelled = not source.num_classes
      if not unlabelled and not source.multi_label:
        unlabelled = (source.labels < 0).any()
      if unlabelled:
        raise ConfigError(
          f"config.transfer.targets.{name}: found images without a label in "
          f"{source.name} {source.split}, expected one for each"
        )

  @property
  def num_classes(self) -> int:
    """How many classes there are."""
    return self.train.num_classes

  def check_tested(self) -> None:
    """Refuses a class of which there is no average precision.

    Raises:
      ConfigError: names the class.
    """
    counts = (several(self.test) == 1).sum(axis=0)
    for name, count in zip(self.train.class_names, counts, strict=True):
      if not count:
        raise ConfigError(
          f"config.transfer.targets.{self.name}: class {name}: found no test "
          f"image with it among {len(self.test)}, expected at least one"
        )

  def chosen(self, fraction: float, seed: int) -> np.ndarray | None:
    """Chooses a fraction of the training images of each class.

    Returns:
      i64[M], sorted; None for all.
    """
    if fraction == 1:
      return None
    return data.stratified(self.train.labels, fraction, seed)

  # Cached, as images that were used stay on the devices.
  @functools.lru_cache(maxsize=4)  # noqa: B019
  def images(self, fraction: float, seed: int) -> Images:
    """Returns what a network is trained and tested on."""
    chosen = self.chosen(fraction, seed)
    if chosen is None:
      return Images(self.train, self.test)
    return Images(data.subset(self.train, chosen), self.test)


def several(source: data.Source) -> np.ndarray:
  """Returns labels as those of several classes an image: i32[N,K]."""
  if source.multi_label:
    return source.labels
  return np.eye(source.num_classes, dtype=np.int32)[source.labels]
