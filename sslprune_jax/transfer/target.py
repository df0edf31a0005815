"""The labelled images that a network is judged on."""

import functools
from collections.abc import Sequence

import chex
import numpy as np
from ml_collections import ConfigDict

from sslprune_jax import data
from sslprune_jax.data.sources import Images
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.transfer.kept import KeptFeatures

_PLAIN = {
  "crop_scale": (),
  "rotation": 0.0,
  "jitter": (0.0, 0.0, 0.0, 0.0),
  "grey": 0.0,
}


def dataset_of(config: ConfigDict, name: str) -> ConfigDict:
  """Returns a section as `config.dataset`, of a target.

  Args:
    config: configuration, validated.
    name: name of one of `config.transfer.targets`.
  """
  dataset = config.dataset.copy_and_resolve_references()
  own = config.transfer.targets[name].to_dict()
  del own["linear"]  # of the protocol, not of the data
  dataset.update(own)
  # What a pretext task asks of its views is not for the target.
  dataset.update(_PLAIN)
  return dataset


class Target:
  """A data set as the network sees it: of its image size, normalised alike.

  Attributes:
    dataset: section `config.dataset`, with what the target has of its
      own in place.
    crop: part of an image of another size that is seen in evaluation: its
      "centre" or the "whole".
    train: training images, all of them.
    test: test images.
    is_whole: whether all images of the splits are there.
    features: those that several protocols read.
  """

  def __init__(
    self, config: ConfigDict, name: str, whole: bool, labelled: bool = True
  ):
    """Opens the data set.

    Args:
      config: configuration, validated.
      name: name of one of `config.transfer.targets`.
      whole: whether images of another size are seen whole.
      labelled: whether labels are read: where only some images have one, the
        target is these.

    Raises:
      ConfigError: not all its images are labelled.
      DataError: what was found, and what was expected.
    """
    self.name = name
    self.dataset = dataset_of(config, name)
    self.crop = "whole" if whole else "centre"
    self.features = KeptFeatures()
    self.train, self.test = (
      data.load(data.Spec.from_config(self.dataset, split, whole))
      for split in (self.dataset.train, self.dataset.test)
    )
    self.is_whole = not labelled
    if not labelled:
      return
    every = self.train, self.test
    self.train, self.test = map(data.labelled_part, every)
    self.is_whole = (self.train, self.test) == every
    for source in (self.train, self.test):
      # The labels of others may take a pass over all files.
      in_memory = isinstance(source, data.ArraySource)
      self.check_labelled(source, source.labels if in_memory else np.empty(0))

  @property
  def num_classes(self) -> int:
    """How many classes there are."""
    return self.train.num_classes

  def check_labelled(self, source: data.Source, labels: np.ndarray) -> None:
    """Refuses images without a label.

    Args:
      source: source of the images.
      labels: i32[N] or i32[N,K], those that are known.

    Raises:
      ConfigError: there is one.
    """
    wrong = not source.multi_label and (labels < 0).any()
    if not source.num_classes or wrong:
      raise ConfigError(
        f"config.transfer.targets.{self.name}: found images without a label in "
        f"{source.name} {source.split}, expected one for each"
      )

  def check_tested(self) -> None:
    """Refuses a class of which there is no average precision.

    Raises:
      ConfigError: names the class.
    """
    names = self.train.class_names
    counts = (to_multi_hot(self.test.labels, names) == 1).sum(axis=0)
    for name, count in zip(names, counts, strict=True):
      if not count:
        raise ConfigError(
          f"config.transfer.targets.{self.name}: class {name}: found no test "
          f"image with it among {len(self.test)}, expected at least one"
        )

  def choose(self, fraction: float, seed: int) -> np.ndarray | None:
    """Chooses a fraction of the training images of each class.

    Args:
      fraction: share of the images, in (0, 1].
      seed: seed of the choice.

    Returns:
      i64[M], sorted; None for all.

    Raises:
      ConfigError: an image may show several classes.
    """
    if fraction == 1:
      return None
    if self.train.multi_label:
      raise ConfigError(
        f"config.transfer.protocols: found {fraction:g} of {self.name}, whose "
        "images have several labels, expected all of it: a share is of each "
        "class"
      )
    return data.sample_per_class(self.train.labels, fraction, seed)

  # Cached, as images that were used stay on the devices.
  @functools.lru_cache(maxsize=4)  # noqa: B019
  def images(self, fraction: float, seed: int) -> Images:
    """Returns what a network is trained and tested on."""
    chosen = self.choose(fraction, seed)
    if chosen is None:
      return Images(self.train, self.test)
    return Images(data.subset(self.train, chosen), self.test)


def to_multi_hot(labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
  """Returns labels as multi-hot rows: 1 where a class is there, 0 where not.

  Args:
    labels: i32[N], a class each, or i32[N,K], which are returned as they are.
    class_names: names of the K classes.

  Returns:
    i32[N,K].
  """
  chex.assert_rank(labels, {1, 2}, custom_message="labels")
  if labels.ndim == 2:
    return labels
  return np.eye(len(class_names), dtype=np.int32)[labels]
