"""Data sets by name: a row is what a set has of its own.

A set that TFDS has prepared needs no row: its fields are set where it is used.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config.rules import (
  PROBABILITY,
  Field,
  Rule,
  each,
  is_number,
  number,
  one_of,
  section,
  whole,
)
from sslprune_jax.runtime.errors import ConfigError

# Channel statistics of pixels in [0, 1]: ImageNet's serve colour images in
# general.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STREAMED = {"image_size": 224, "resident": False, "padding": 0}

# The section `config.dataset`.
FIELDS: dict[str, Field] = {
  "name": Field("", "name of a row here, or of any set that TFDS has prepared"),
  "data_dir": Field("", "folder of TFDS's sets, or of the images"),
  "train": Field("train", "split that is trained on"),
  "test": Field("test", "split that is tested on"),
  "image_size": Field(
    32,
    "height and width that images are read with; 0: those of config.start, "
    "which 0 channels and () in place of mean and std take too",
    whole(1, 4096),
    "pixels",
  ),
  "channels": Field(3, "1 grey, 3 RGB", one_of((1, 3))),
  "mean": Field(
    _MEAN,
    "mean of each channel, of pixels in [0, 1]",
    each(
      "a number from 0 to 1 for each channel, of pixels in [0, 1]",
      lambda mean: is_number(mean) and 0 <= mean <= 1,
    ),
  ),
  "std": Field(
    _STD,
    "standard deviation of each channel, of pixels in [0, 1]",
    each(
      "a number above 0, at most 1, for each channel, of pixels in [0, 1]",
      lambda deviation: is_number(deviation) and 0 < deviation <= 1,
    ),
  ),
  "resident": Field(
    True,
    "whether the set lives on the devices; otherwise images are decoded as "
    "they are needed, each to a random resized crop",
  ),
  "workers": Field(
    16, "threads that decode images", whole(1), "threads", changes_bits=False
  ),
  "max_pixels": Field(
    100_000_000,
    "most pixels of an image file; one of more counts as broken",
    # Beyond this Pillow refuses by itself.
    whole(1, 178_956_970),
    "pixels",
  ),
  "broken": Field(
    "refuse",
    "whether a broken file of a folder of images is refused, or left out: "
    "refuse, skip",
    one_of(("refuse", "skip")),
  ),
  "padding": Field(
    2, "zeros on each side, of the random crop", whole(0), "pixels"
  ),
  "flip": Field(True, "whether images are mirrored at random"),
  "crop_scale": Field(
    (),
    "least and largest share of the area of random resized crops, such as "
    "(0.2, 1.0); (): (0.08, 1.0) of images that are cropped as they are "
    "decoded, and no such crop of others",
    each("() or two shares of the area", is_number),
  ),
  "rotation": Field(
    0.0,
    "largest random rotation to either side, bilinear",
    number("degrees from 0 to 180", lambda degrees: 0 <= degrees <= 180),
    "degrees",
  ),
  "jitter": Field(
    (0.0, 0.0, 0.0, 0.0),
    "strengths of random brightness, contrast, saturation and hue",
    Rule(
      "four strengths, at least 0: brightness, contrast, saturation and hue, "
      "the last at most 0.5",
      lambda s: (
        len(s) == 4 and all(map(is_number, s)) and min(s) >= 0 and s[3] <= 0.5
      ),
    ),
  ),
  "grey": Field(0.0, "probability that an image turns grey", PROBABILITY),
}

# The section `config.views`: in place of the data set's where they are set.
VIEWS: dict[str, Field] = {
  "crop_scale": Field(
    (),
    "shares of the area of random resized crops, which stand in place of "
    "dataset.padding; for sets that live on the devices",
    FIELDS["crop_scale"].rule,
  ),
  **{
    name: dataclasses.replace(
      FIELDS[name], sentence=f"{FIELDS[name].sentence}, for the tasks alone"
    )
    for name in ("rotation", "jitter", "grey")
  },
}


@dataclasses.dataclass(frozen=True)
class StudySize:
  """How large the studies of a data set are.

  Attributes:
    network: name of the network.
    seeds: number of seeds.
    rewind: duration after which W_k is taken.
    rounds: rounds of pruning.
    retrained: rounds whose masks are retrained.
  """

  network: str
  seeds: int
  rewind: str
  rounds: int
  retrained: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class DatasetRow:
  """A data set.

  Attributes:
    name: name in the configuration.
    fields: fields of `config.dataset` that differ from the defaults.
    study: size of its studies; None for what is transferred to alone.
    linear: factor of the duration of a linear classifier on it, as a target.
  """

  name: str
  fields: Mapping[str, Any]
  study: StudySize | None = None
  linear: float = 1.0


# The paper reports 14 remaining rates between 80 % and 0.1 % without listing
# them; these rounds span that range. 0 is the dense network.
REPORTED_ROUNDS = (0, 1, 3, 5, 7, 9, 10, 12, 14, 16, 18, 20, 22, 25, 30)

_DIGITS = {
  "image_size": 8,
  "channels": 1,
  "padding": 1,
  "flip": False,
  "mean": (0.305,),
  "std": (0.376,),
}
_DIGITS_ROUNDS = 18, (0, 4, 8, 12, 15, 18)

DATASETS: dict[str, DatasetRow] = {
  row.name: row
  for row in (
    DatasetRow(
      "digits", _DIGITS, StudySize("convnet", 2, "1ep", *_DIGITS_ROUNDS)
    ),
    DatasetRow(  # The same images, half of them to test on.
      "digits_half", _DIGITS, StudySize("convnet", 2, "1.6ep", *_DIGITS_ROUNDS)
    ),
    DatasetRow(
      "fashion_mnist",
      {"image_size": 28, "channels": 1, "mean": (0.286,), "std": (0.353,)},
      StudySize("convnet", 1, "1ep", 3, (0, 3)),
    ),
    DatasetRow(
      "cifar10",
      {"mean": (0.491, 0.482, 0.447), "std": (0.247, 0.243, 0.262)},
      StudySize("resnet18", 6, "1ep", 30, REPORTED_ROUNDS),
    ),
    DatasetRow(
      "imagenet2012",
      {**_STREAMED, "test": "validation"},
      StudySize("resnet50", 3, "3840000samples", 30, REPORTED_ROUNDS),
    ),
    DatasetRow(
      "places205",
      {**_STREAMED, "test": "validation"},
      linear=0.5,  # Half as many epochs: Goyal et al. 2019.
    ),
    DatasetRow(
      "voc2007",
      {**_STREAMED, "name": "voc/2007", "train": "train+validation"},
    ),
    DatasetRow(
      "folder",
      {**_STREAMED, "image_size": 64},
      StudySize("resnet18", 1, "1ep", 8, (0, 4, 8)),
    ),
  )
}


def register(row: DatasetRow) -> DatasetRow:
  """Adds a data set of a user's; see `tasks.register`.

  Raises:
    ConfigError: the name is taken, or a field does not exist.
  """
  unknown = sorted(row.fields.keys() - FIELDS.keys())
  if unknown:
    raise ConfigError(
      f"data set {row.name!r}: found the fields {unknown}, expected some of "
      f"{tuple(FIELDS)}"
    )
  if DATASETS.setdefault(row.name, row) != row:
    raise ConfigError(f"data set {row.name!r}: found it twice, expected once")
  return row


def dataset(name: str) -> ConfigDict:
  """Returns the section `config.dataset` of a data set.

  Args:
    name: name of a row. Other TFDS sets: set the fields.

  Raises:
    ConfigError: there is no row of this name.
  """
  if name not in DATASETS:
    raise ConfigError(
      f"dataset: found {name!r}, expected one of {tuple(DATASETS)}"
    )
  found = section(FIELDS)
  found.name = name
  found.update(DATASETS[name].fields)
  return found.lock()
