"""How a folder of images is read: its splits, its classes."""

import dataclasses

import numpy as np

from sslprune_jax.data.listing import (
  LeftOut,
  images_below,
  name_of,
  scan,
  suffixes,
)
from sslprune_jax.data.sources import UNLABELLED, DataError

_TRAIN = ("train", "training")
# A split of the first two is taken before one of the others.
_TEST = ("test", "testing", "val", "valid", "validation")


@dataclasses.dataclass(frozen=True)
class Listed:
  """Images of a split.

  Attributes:
    files: N paths.
    labels: i32[N], -1 where unlabelled.
    names: names of the classes.
  """

  files: list[str]
  labels: np.ndarray
  names: list[str]

  def take(self, rows: np.ndarray) -> "Listed":
    """Returns the images of some places, i64[M]."""
    files = [self.files[row] for row in rows]
    return Listed(files, self.labels[rows], self.names)


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
    for kind, names in (("train", _TRAIN), ("test", _TEST))
  }
  if not (named["train"] or named["test"]):
    for folder in folders:
      _refuse_splits_within(folder)
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
  tests = [f for f in named["test"] if name_of(f).lower() in _TEST[:2]]
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


def _refuse_splits_within(folder: str) -> None:
  """Refuses splits inside of a folder that would be a class."""
  inner, _ = scan(folder, LeftOut())
  names = {name_of(f).lower(): f for f in inner}
  train, test = (
    next((names[name] for name in kind if name in names), None)
    for kind in (_TRAIN, _TEST)
  )
  if train and test:
    raise DataError(
      f"{train}: found a split inside of {name_of(folder)}, which would be a "
      f"class: expected dataset.data_dir={folder}, or splits that hold classes"
    )


def list_classes(
  root: str, left_out: LeftOut, names: list[str] | None = None
) -> Listed:
  """Lists the images under a folder; a single class is no class.

  Args:
    root: folder that holds classes, or images.
    left_out: gets what is left out.
    names: classes that there may be; by default the subfolders.

  Raises:
    DataError: names the folder or the file, what was found and what was
      expected.
  """
  folders, loose = scan(root, left_out)
  classes = {}
  for folder in folders:
    if name_of(folder) in classes:
      raise DataError(
        f"{folder}: found two folders of this name, which differ in how é and "
        "the like are written, expected one"
      )
    classes[name_of(folder)] = folder
  if names is None:
    names = list(classes) if len(classes) > 1 else []
  unknown = sorted(set(classes) - set(names))
  if unknown and names:
    raise DataError(
      f"{classes[unknown[0]]}: found a class that the training images do not "
      f"have, expected {', '.join(names[:10])}"
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
  return Listed(files, np.array(labels, np.int32), names)


def _expect_images(images: list[str], folder: str) -> None:
  if not images:
    raise DataError(
      f"{folder}: found no image, expected {', '.join(suffixes())} files"
    )
