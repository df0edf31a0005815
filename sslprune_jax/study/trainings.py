"""Trainings that variants agree in are done once, bit for bit the same.

A training is a function of its recipe, its images, its seed and what it starts
from. `trainings/KEY.json` of the workdir names the stage that did the one of
these; another stage of the same takes from there what it ended with, and is a
stage as any other: its tickets, results and digests are its own. What is not
found, as a kill came between, is trained again, to the same bits.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import digests, files, processes
from sslprune_jax.runtime.errors import LostFileError
from sslprune_jax.study import results
from sslprune_jax.training.checkpoints import Checkpoints
from sslprune_jax.training.step import NUMERICS


def key(about: Mapping[str, Any], *start: Any) -> str:
  """Returns the name of a training: equal ones end in equal bits.

  Args:
    about: JSON values of all that it is a function of besides: recipe, images,
      seed, first update.
    *start: trees of arrays that it starts from.
  """
  text = json.dumps({**about, "numerics": NUMERICS}, sort_keys=True)
  found = hashlib.sha256(text.encode())
  for path, leaf in jax.tree_util.tree_leaves_with_path(start):
    array = np.asarray(jax.device_get(leaf))
    found.update(f"{path} {array.dtype} {array.shape}".encode())
    found.update(array.tobytes())
  return found.hexdigest()


class Trainings:
  """The trainings that are done in a workdir.

  Args:
    root: the workdir; None shares nothing.

  Attributes:
    root: the same; None too where no stage can be taken from another.
  """

  def __init__(self, root: epath.Path | None):
    # Several processes write their stages together, and a bucket has no copy.
    alone = root is not None and processes.count() == 1
    self.root = root if alone and not files.in_bucket(root) else None
    self._began: dict[str, str] = {}  # folder of a stage -> its training

  def find(
    self, key: str, directory: epath.Path, k: int | None
  ) -> epath.Path | None:
    """Finds the stage that did a training, or notes that this one does.

    Args:
      key: name of the training.
      directory: folder of the stage that asks.
      k: update whose weights it needs too; None for none.

    Returns:
      The folder of the other stage, which is done; None if there is none.
    """
    try:
      said = files.read_json(self._file(key), dict)
      donor = self.root / said["stage"]
      is_whole = said == digests.stamp(said) and results.exists(donor)
    except (LostFileError, KeyError, OSError):
      is_whole = False
    if is_whole and (k is None or _holds(donor, k)):
      return donor
    self._began[str(directory)] = key
    return None

  def add(self, directory: epath.Path) -> None:
    """Says that a stage is done, if it was trained and not taken."""
    key = self._began.pop(str(directory), None)
    if key is not None:
      stage = directory.relative_to(self.root)
      files.write_json(self._file(key), digests.stamp({"stage": str(stage)}))

  def _file(self, key: str) -> epath.Path:
    return self.root / workdir_lib.TRAININGS / f"{key}.json"


def copy(donor: epath.Path, directory: epath.Path, k: int | None) -> None:
  """Copies what a training leaves besides its results.

  Args:
    donor: folder of the stage that did it.
    directory: folder of this one; gets the metrics, and the weights of
      update k.
    k: as of `Trainings.find`.
  """
  metrics = donor / workdir_lib.METRICS
  if metrics.exists():
    files.write(directory / workdir_lib.METRICS, metrics.read_bytes())
  if k is not None:
    own = _weights_of(directory, k)
    shutil.rmtree(own.parent, ignore_errors=True)  # Of a run that was killed.
    shutil.copytree(_weights_of(donor, k), own)


def _holds(donor: epath.Path, k: int) -> bool:
  """Returns whether W_k is there, and whole: damage is not handed on."""
  if not _weights_of(donor, k).exists():
    return False
  early = Checkpoints(donor / workdir_lib.REWIND, keep=None)
  with contextlib.closing(early), contextlib.suppress(LostFileError):
    early.verify()
    return True
  return False


def _weights_of(directory: epath.Path, k: int) -> epath.Path:
  return directory / workdir_lib.REWIND / str(k)
