"""A folder of images: a subfolder a class, labels.csv, or unlabelled."""

import functools
import os
from collections.abc import Sequence

import numpy as np

from sslprune_jax.data import headers, label_table
from sslprune_jax.data.encoded import EncodedSource
from sslprune_jax.data.listing import LeftOut, scan
from sslprune_jax.data.sources import DataError, Spec
from sslprune_jax.data.splits import Listed, find_splits, list_classes
from sslprune_jax.data.subsets import holdout
from sslprune_jax.runtime.errors import printable


class FileSource(EncodedSource):
  """Images listed in memory and read from files.

  Attributes:
    notes: lines on what was found and left out, for the user.
    left_out: broken file -> what is wrong with it, of those left out.
  """

  def __init__(
    self,
    spec: Spec,
    files: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    bits: int = 16,
  ):
    """Keeps the list.

    Args:
      spec: split, and how its images are delivered, with an `image_size`.
      files: N paths.
      labels: i32[N], -1 where unlabelled.
      class_names: one name a class.
      bits: bits that deep greys use of their 16.
    """
    size, channels = spec.image_size, spec.channels or 3
    super().__init__(spec, (size, size, channels), class_names, crops=True)
    self._files, self._labels, self._bits = files, labels, bits
    self.notes: tuple[str, ...] = ()
    self.left_out: dict[str, str] = {}
    self.listing: list[tuple[str, int, int]] = []

  def __len__(self) -> int:
    return len(self._files)

  @property
  def labels(self) -> np.ndarray:
    """Labels i32[N], -1 where unlabelled."""
    return self._labels

  def _fetch(self, indices: list[int]) -> list[tuple[bytes, int]]:
    return [
      (headers.read(self._files[i]), int(self._labels[i])) for i in indices
    ]

  def _where(self, index: int) -> str:
    return self._files[index]


def load_folder(spec: Spec) -> FileSource:
  """Lists a folder, and looks at the headers of all its images.

  Splits and classes are those of `splits`; with a `labels.csv` in the folder,
  classes are those of `label_table`, and an image may have none. Where there is
  no split for the test, a fifth of every class is held out, always the same
  files as long as the folder does not change.

  Args:
    spec: split, and how its images are delivered. `data_dir` holds the splits,
      the classes, or images without labels; `split` is `train` or `test`.

  Returns:
    The source; files are in the order of their names.

  Raises:
    DataError: names the folder or the file, what was found and what was
      expected.
  """
  split = spec.split
  if split not in ("train", "test"):
    raise DataError(f"split: found {split}, expected train or test")
  root = os.path.expanduser(spec.data_dir)
  if not os.path.isdir(root):
    raise DataError(f"data_dir: found no folder {root}")
  workers = spec.workers or os.cpu_count() or 1
  splits, notes, found = _read(root, spec.max_pixels, workers)
  if found.broken and spec.broken == "refuse":
    first, *others = found.broken.values()
    more = f" ({len(others)} more broken)" if others else ""
    raise DataError(
      f"{first}{more}; dataset.broken='skip' leaves out what is broken"
    )
  listed = {
    name: part.take(
      np.flatnonzero([file not in found.broken for file in part.files])
    )
    for name, part in splits.items()
  }
  holds_out = "test" not in listed
  _expect_images(root, listed["train"], 2 if holds_out else 1)
  if holds_out:
    labels = listed["train"].labels
    rows = holdout(labels - labels.min(), split)  # unlabelled: one class
    listed[split] = listed["train"].take(rows)
  part = listed[split]
  if not part.files:
    raise DataError(f"{root}: found no {split} image that is whole")
  source = FileSource(
    spec, part.files, part.labels, part.names, bits=found.bits
  )
  source.notes, source.left_out = notes, found.broken
  source.listing = [
    (os.path.relpath(file, root), os.path.getsize(file), label)
    for file, label in zip(part.files, part.labels.tolist(), strict=True)
  ]
  return source


def _expect_images(root: str, part: Listed, least: int) -> None:
  """Refuses a class of too few images that are whole."""
  counts = {root: len(part.files)}
  if part.names:
    # A class of labels.csv is no folder.
    paths = [part.folders.get(name, f"{root}: {name}") for name in part.names]
    labels = part.labels[part.labels >= 0]
    of_class = np.bincount(labels, minlength=len(paths)).tolist()
    counts = dict(zip(paths, of_class, strict=True))
  for place, count in counts.items():
    if count < least:
      why = ", to hold one out for test" if least > 1 else ""
      raise DataError(
        f"{place}: found {count} image{'s' * (count != 1)}, expected {least} "
        f"or more that are whole{why}"
      )


# Both splits, and the targets of transfer, are listed together.
@functools.lru_cache(maxsize=8)
def _read(
  root: str, max_pixels: int, workers: int
) -> tuple[dict[str, Listed], tuple[str, ...], headers.Headers]:
  """Returns what a folder holds: its splits, lines on it, and its headers."""
  left_out = LeftOut()
  places, unused = find_splits(root, left_out)
  table = label_table.read_table(root)
  if table is None:
    train = list_classes(places["train"], left_out)
    splits = {"train": train}
    if "test" in places:
      splits["test"] = list_classes(places["test"], left_out, train)
  else:
    splits = {
      name: label_table.list_labelled(root, folder, table, left_out)
      for name, folder in places.items()
    }
    train = splits["train"]
  files = [file for part in splits.values() for file in part.files]
  if table is not None:
    label_table.check(root, table, splits)
  found = headers.check(files, max_pixels, workers)
  notes = [f"{root}: found {len(files) - len(found.broken):,} images of "]
  notes[0] += f"{len(train.names)} classes" if train.names else "no class"
  labelled = sum(int((part.labels >= 0).sum()) for part in splits.values())
  if table is not None and labelled < len(files):
    notes[0] += f", {labelled:,} of them labelled"
  if left_out.counts or found.broken:
    broken = f"{len(found.broken)} broken" if found.broken else ""
    words = ", ".join(filter(None, (broken, left_out.words())))
    notes[0] += f"; left out: {words}"
  if len(train.folders) == 1:
    (only,) = train.folders.values()
    inner, _ = scan(only, LeftOut())
    if len(inner) > 1:
      notes.append(
        f"{only}: the only folder, which holds {len(inner)}: read as images "
        f"without labels; dataset.data_dir={only} reads these as classes"
      )
  if unused:
    notes.append(f"{unused}: not used, as there is a test split beside it")
  if found.deep and found.bits < 16:
    notes.append(
      f"{root}: found {found.deep} images of 16 bits that use {found.bits}: "
      "read as such"
    )
  return splits, tuple(map(printable, notes)), found
