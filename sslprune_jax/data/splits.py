"""How a folder of images is read: its splits, its classes."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from sslprune_jax.data.listing import (
  TEST,
  TRAIN,
  LeftOut,
  images_below,
  leads_back,
  name_of,
  refuse_splits,
  scan,
  suffixes,
)
from sslprune_jax.data.sources import UNLABELLED, DataError

# What is called nearly as a split is: train_set, seg_test, val2017, trainA.
_NEARLY = re.compile(
  r"(?:^|[\W_\d])(train|training|test|testing|val|valid|validat\w+|dev|eval)"
  r"(?:$|[\W_\d]|set|[ab]$)"
)


@dataclasses.dataclass(frozen=True)
class Listed:
  """Images of a split.

  Attributes:
    files: N paths.
    labels: i32[N], -1 where unlabelled.
    names: names of the classes.
    folders: paths of the subfolders by their names; a single one is no class.
  """

  files: list[str]
  labels: np.ndarray
  names: list[str]
  folders: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def take(self, rows: np.ndarray) -> "Listed":
    """Returns the images of some places, i64[M]."""
    files = [self.files[row] for row in rows]
    return Listed(files, self.labels[rows], self.names, self.folders)


def find_splits(root: str, left_out: LeftOut) -> tuple[dict[str, str], str]:
  """Finds the splits of a folder.

  Folders `train` or `training`, and `test`, `testing`, `val`, `valid` or
  `validation`, in any case, are splits; where both a test and a validation
  split lie there, the former is taken.

  Args:
    root: path of the folder.
    left_out: gets what lies beside splits and is left out.

  Returns:
    The folder of `train`, itself where there are no splits, and of `test`, if
    there is one; and that of a split that is not used, or "".

  Raises:
    DataError: the folder can be read in two ways.
  """
  beside = LeftOut()
  folders, loose = scan(root, beside)
  named = {
    kind: [f for f in folders if name_of(f).lower() in names]
    for kind, names in (("train", TRAIN), ("test", TEST))
  }
  if not (named["train"] or named["test"]):
    _refuse_nearly_splits(folders)
    return {"train": root}, ""
  left_out.counts.update(beside.counts)
  split = (named["train"] or named["test"])[0]
  others = [f for f in folders if f not in named["train"] + named["test"]]
  others = loose[:1] + [f for f in others if images_below(f, LeftOut())]
  if others:
    raise DataError(
      f"{split}: found a split, or a class, beside {name_of(others[0])}: "
      "expected splits alone (move the rest away), or classes alone (rename "
      f"{name_of(split)})"
    )
  if not named["train"]:
    raise DataError(
      f"{split}: found a split for the test, or a class, and no train beside "
      "it: expected train too, or another name"
    )
  tests = [f for f in named["test"] if name_of(f).lower() in TEST[:2]]
  unused = [f for f in named["test"] if f not in tests] if tests else []
  for same in (named["train"], tests or named["test"], unused):
    if len(same) > 1:
      raise DataError(
        f"{same[0]}: found {name_of(same[1])} beside it, expected one of them"
      )
  places = {"train": named["train"][0]}
  if named["test"]:
    places["test"] = (tests or named["test"])[0]
  return places, (unused or [""])[0]


def _refuse_nearly_splits(folders: list[str]) -> None:
  """Refuses folders of which some are called nearly as splits are."""
  kinds = {"train": [], "test": []}
  for folder in folders:
    match = _NEARLY.search(name_of(folder).lower())
    if match:
      kinds["train" if match[1] in TRAIN else "test"].append(folder)
  if kinds["train"] and kinds["test"]:
    train, test = kinds["train"][0], name_of(kinds["test"][0])
    raise DataError(
      f"{train}: found what is called nearly as a split, and {test}: expected "
      "the names train and test, or other names of classes"
    )


def list_classes(
  root: str, left_out: LeftOut, train: Listed | None = None
) -> Listed:
  """Lists the images under a folder; a single class is no class.

  Args:
    root: folder that holds classes, or images.
    left_out: gets what is left out.
    train: training images, whose classes there may be; by default any.

  Raises:
    DataError: names the folder or the file, what was found and what was
      expected.
  """
  folders, loose = scan(root, left_out)
  refuse_splits(root, folders)
  classes = _name_classes(root, folders, left_out)
  names = list(classes) if len(classes) > 1 else []
  if train:
    names = train.names
    unknown = sorted(set(classes) - set(train.folders))
    if unknown:
      raise DataError(
        f"{classes[unknown[0]]}: found a class that the training images do not "
        f"have, expected {', '.join(list(train.folders)[:10]) or 'no classes'}"
      )
  if classes and loose:
    raise DataError(
      f"{loose[0]}: found an image beside class folders, expected it in one"
    )
  files, labels = loose, [UNLABELLED] * len(loose)
  for name, folder in classes.items():
    images = images_below(folder, left_out)
    _expect_images(images, folder)
    files += images
    label = names.index(name) if names else UNLABELLED
    labels += [label] * len(images)
  if not classes:
    _expect_images(files, root)
    if names:
      raise DataError(
        f"{files[0]}: found no class, expected it in a folder of one: "
        f"{', '.join(names[:10])}"
      )
  return Listed(files, np.array(labels, np.int32), names, classes)


def _name_classes(
  root: str, folders: list[str], left_out: LeftOut
) -> dict[str, str]:
  """Returns subfolders by their names; refuses what can be read in two ways."""
  classes = {}
  for folder in folders:
    name = name_of(folder)
    if leads_back(folder):
      left_out.counts["links that lead back"] += 1
      continue
    if name in classes:
      raise DataError(
        f"{folder}: found two folders of this name, which differ in how é and "
        "the like are written, expected one"
      )
    if name.lower() in TRAIN + TEST:
      raise DataError(
        f"{folder}: found a split, or a class, inside of {name_of(root)}: "
        "expected classes there, or another name"
      )
    classes[name] = folder
  return classes


def _expect_images(images: list[str], folder: str) -> None:
  if not images:
    raise DataError(
      f"{folder}: found no image, expected {', '.join(suffixes())} files in a "
      "folder that is read as a class"
    )
