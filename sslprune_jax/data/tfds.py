"""Prepared TensorFlow Datasets, read without TensorFlow and without network."""

import contextlib
import functools
import operator
import os
import re
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from sslprune_jax.data import kept_labels
from sslprune_jax.data.encoded import EncodedSource, Label
from sslprune_jax.data.sources import UNLABELLED, DataError, Spec
from sslprune_jax.runtime import libraries

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"(\w+)(?:/([^:]+))?(?::(.+))?")
# A read of several records starts threads for every file that it touches, and
# holds the interpreter meanwhile: that pays for hundreds.
_MANY = 128


class TfdsSource(EncodedSource):
  """Examples with an `image`, perhaps with labels, in array_record files."""

  lists_labels = False

  def __init__(
    self,
    spec: Spec,
    folder: epath.Path,
    examples,
    label: Callable[[dict], Label],
    **common,
  ):
    """Keeps the examples.

    Args:
      spec: split, and how its images are delivered.
      folder: folder of the prepared version.
      examples: data source of TFDS, whose images are not decoded.
      label: function that reads the label of an example.
      **common: further arguments of `EncodedSource`.
    """
    super().__init__(spec, **common)
    self._folder, self._examples, self._label = folder, examples, label

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """Labels i32[N] or i32[N,K], as they were kept, or by a pass over all."""
    return kept_labels.read(
      self._folder, self.split, len(self), self.read_labels
    )

  def __len__(self) -> int:
    return len(self._examples)

  def _fetch(self, indices: list[int]) -> list[tuple[bytes, Label]]:
    several = len(indices) >= _MANY
    with _naming(self.name, self._folder):
      examples = (
        self._examples.__getitems__(indices)
        if several
        else map(self._examples.__getitem__, indices)
      )
      return [(example["image"], self._label(example)) for example in examples]

  def _where(self, index: int) -> str:
    return f"{self.name} {self.split}, image {index}"


@contextlib.contextmanager
def _naming(name: str, folder: epath.Path) -> Iterator[None]:
  """Says of a set that is damaged, or was copied in part, which it is."""
  try:
    yield
  except DataError:
    raise
  # Each part of TFDS, and of what it reads files by, raises another one.
  except Exception as error:
    raise DataError(
      f"{name} in {folder}: cannot be read ({libraries.reason(error)}): copy "
      "or prepare it again"
    ) from error


def load_tfds(spec: Spec) -> TfdsSource:
  """Opens a prepared image classification set.

  Args:
    spec: split, and how its images are delivered. `name` is `set` or
      `set/config`, either with `:version`, the latest by default; `split` is as
      TFDS writes it: `train`, `train[:10%]`, `train+validation`; `data_dir`
      holds the prepared sets, by default the environment's TFDS_DATA_DIR, then
      ~/tensorflow_datasets.

  Returns:
    The source; it crops if its images vary in size, or have another size.

  Raises:
    DataError: says where the set was looked for and how to prepare it, or what
      was found in it and what was expected.
  """
  name, place = spec.name, _data_dir(spec.data_dir)
  folder = _find(name, place)
  with _naming(name, folder):
    builder = tfds.builder_from_directory(folder)
    features = dict(builder.info.features)
  _check_split(spec, builder.info.splits, folder)
  classes, label = _labels(features)
  if label is None or not isinstance(
    features.get("image"), tfds.features.Image
  ):
    found = ", ".join(sorted(features))
    raise DataError(
      f"{name} in {folder}: found the features {found}, expected an `image` "
      "and a `label` that is a class, or `labels` that are several"
    )
  with _naming(name, folder):
    try:
      examples = builder.as_data_source(
        spec.split, decoders={"image": tfds.decode.SkipDecoding()}
      )
    except NotImplementedError as error:
      raise DataError(
        f"{name}: found {builder.info.file_format.value} files in {folder}, "
        f"expected array_record; {_command(name, place, ' --overwrite')}"
      ) from error
  shape = _shape(spec, features["image"].shape)
  return TfdsSource(
    spec,
    folder,
    examples,
    label,
    image_shape=shape,
    class_names=classes,
    crops=shape[:2] != features["image"].shape[:2],
    multi_label="labels" in features,
  )


def _check_split(spec: Spec, splits: dict, folder: epath.Path) -> None:
  """Refuses a split that is not there, or that is empty."""
  split = spec.split
  for part in split.split("+"):
    if part.split("[")[0].strip() not in splits:
      raise DataError(
        f"split: found {split}, expected one of {', '.join(splits)} "
        f"({spec.name} in {folder}) or a slice such as train[:10%]"
      )
  try:
    size = splits[split].num_examples
  except ValueError as error:
    reason = str(error).splitlines()[0]
    raise DataError(f"split: found {split}: {reason}") from error
  if size <= 0:
    raise DataError(f"split: found {split}, which is empty")


def _labels(
  features: dict,
) -> tuple[list[str], Callable[[dict], Label] | None]:
  """Returns the class names, and the function that reads a label."""
  if "labels" in features:
    each = getattr(features["labels"], "feature", None)
    if not isinstance(each, tfds.features.ClassLabel):
      return [], None
    return each.names, functools.partial(_multi_hot, each.num_classes)
  if "label" not in features:
    return [], lambda example: UNLABELLED
  label = features["label"]
  if not isinstance(label, tfds.features.ClassLabel):
    return [], None
  return label.names, operator.itemgetter("label")


def _multi_hot(num_classes: int, example: dict) -> np.ndarray:
  """Returns i32[K]: 1, 0, or -1 where all objects of a class are difficult."""
  label = np.zeros(num_classes, np.int32)
  label[example["labels"]] = 1
  if "labels_no_difficult" in example:
    label[example["labels"]] = -1
    label[example["labels_no_difficult"]] = 1
  return label


def _shape(spec: Spec, stored: tuple[int | None, ...]) -> tuple[int, int, int]:
  """Returns the (H, W, C) to deliver of images stored in another."""
  size = spec.image_size
  if size is None and None in stored[:2]:
    raise DataError(
      f"image_size: found none, expected one, as the images of {spec.name} vary"
    )
  height, width = (size, size) if size else stored[:2]
  return height, width, spec.channels or stored[-1] or 3


def _data_dir(data_dir: str | None) -> epath.Path:
  default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  return epath.Path(data_dir or default).expanduser()


def _find(name: str, data_dir: epath.Path) -> epath.Path:
  """Returns the folder of the version asked for, without asking a network.

  TFDS itself would look for a missing set on the network, for minutes, and
  then name the wrong cause.
  """
  match = _NAME.fullmatch(name)
  if not match:
    raise DataError(
      f"name: found {name}, expected a data set, such as cifar10, "
      "voc/2007 or imagenet2012:5.1.0"
    )
  dataset, config, version = match.groups()
  folder = data_dir / dataset
  if config:
    folder /= config
  versions = _versions(folder)
  if version in versions:
    return folder / version
  if versions and version is None:
    return folder / max(versions, key=lambda v: tuple(map(int, v.split("."))))
  if versions:
    found = f"only version {', '.join(versions)} in {folder}"
  elif configs := [sub.name for sub in _folders(folder) if _versions(sub)]:
    found = f"only the configs {', '.join(configs)} in {folder}"
  else:
    prepared = [
      sub.name
      for sub in _folders(data_dir)
      if _versions(sub) or any(map(_versions, _folders(sub)))
    ]
    there = ", ".join(prepared) or "no data set"
    found = f"no prepared set in {folder} ({data_dir} has {there})"
  raise DataError(f"{name}: found {found}; {_command(name, data_dir)}")


def _versions(folder: epath.Path) -> list[str]:
  return [
    sub.name
    for sub in _folders(folder)
    if _VERSION.fullmatch(sub.name) and (sub / "dataset_info.json").exists()
  ]


def _folders(folder: epath.Path) -> list[epath.Path]:
  if not folder.is_dir():
    return []
  return sorted(sub for sub in folder.iterdir() if sub.is_dir())


def _command(name: str, data_dir: epath.Path, flag: str = "") -> str:
  return (
    "prepare it, with TensorFlow installed, by `tfds build "
    f"{name} --data_dir={data_dir} --file_format=array_record{flag}`"
  )
