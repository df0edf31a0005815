"""The images of a study: which a task is trained on, which labels it sees."""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import data
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import protocols, rounds
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.data.sources import Images
from sslprune_jax.runtime import digests, files

RETRAINING = "retrain"  # beside the names of tasks


def adapt(config: ConfigDict) -> tuple[ConfigDict, list[str]]:
  """Fits a configuration to its images, and says what was found of them.

  Args:
    config: validated, without variants; not changed.

  Returns:
    The same, without retraining, and without the judges that read the labels of
    the same folder, where a folder of images has no labels; and lines for the
    user.

  Raises:
    DataError: what was found, and what was expected.
  """
  dataset = config.dataset
  if dataset.name != "folder":
    return config, []
  source = data.load(data.Spec.from_config(dataset, dataset.train))
  lines = list(source.notes)
  retrains = config.retrain.rounds and config.retrain.inits
  own = config.transfer.targets.folder.data_dir == dataset.data_dir
  judged = tuple(
    named
    for named in config.transfer.protocols
    if not (own and _reads_labels_of_the_folder(named))
  )
  if source.num_classes or not (
    retrains or judged != tuple(config.transfer.protocols)
  ):
    return config, lines
  config = config.copy_and_resolve_references()
  config.retrain.rounds, config.transfer.protocols = (), judged
  last = f"seed_{config.seeds[0]}/{config.tasks[0]}"
  lines.append(
    f"{dataset.data_dir}: found no labels: masks are not retrained. To judge "
    "the features by images with labels: sslprune transfer --config=folder "
    "--config.transfer.targets.folder.data_dir=FOLDER "
    f"--ticket=WORKDIR/{last}/round_{rounds.last(config.prune):02d}"
  )
  return config, lines


def _reads_labels_of_the_folder(named: str) -> bool:
  """Returns whether one of `config.transfer.protocols` does."""
  protocol, target, *_ = named.split(":")
  return target == "folder" and protocols.find(protocol).reads_labels


class StudyData:
  """The data set of a study, and what its tasks take of it.

  Attributes:
    train: the training images, with all their labels.
    test: the test images.
  """

  def __init__(
    self,
    config: ConfigDict,
    load: Callable[[data.Spec], data.Source] | None = None,
  ):
    """Opens the data set.

    Args:
      config: validated.
      load: function that opens a split; `data.load` by default.

    Raises:
      DataError: what was found, and what was expected.
    """
    self._config = config
    load = load or data.load
    self.train, self.test = (
      load(data.Spec.from_config(config.dataset, split))
      for split in (config.dataset.train, config.dataset.test)
    )
    if self.train.multi_label:
      raise data.DataError(
        f"config.dataset.name: found {config.dataset.name}, whose images have "
        "several labels, expected one an image; config.transfer takes several"
      )

  # A study lives as long as main.
  @functools.lru_cache(maxsize=16)  # noqa: B019
  def labelled_indices(self, purpose: str, seed: int) -> np.ndarray | None:
    """Chooses the images whose labels are seen.

    Args:
      purpose: name of a task, or `RETRAINING`.
      seed: seed of the study.

    Returns:
      i64[M], indices of training images, sorted; None for all, and where
      no labels are used.
    """
    images, classes = 1.0, 1.0
    if purpose == RETRAINING:
      images = self._config.retrain.fraction
    elif TASKS[purpose].reads_labels:
      images, classes = self._config.labels.images, self._config.labels.classes
    reads = purpose == RETRAINING or TASKS[purpose].reads_labels
    partly = reads and self._is_partly_labelled
    if images == classes == 1 and not partly:
      return None
    labels = self.train.labels  # May take a pass over all files.
    chosen = np.flatnonzero(labels >= 0) if partly else np.arange(len(labels))
    if not images == classes == 1:
      chosen = chosen[data.sample_classes(labels[chosen], classes, seed)]
      if classes < 1 and len(np.unique(labels[chosen])) < 2:
        raise data.DataError(
          f"config.labels.classes: found {classes} of "
          f"{self.train.num_classes} classes, which is one, expected a share "
          "of at least two: one has nothing to learn"
        )
      few = data.sample_per_class(labels[chosen], images, seed)
      chosen = chosen[few]
    return chosen

  @functools.cached_property
  def _is_partly_labelled(self) -> bool:
    """Whether some images have a label and others none."""
    return any(map(data.is_partly_labelled, (self.train, self.test)))

  def save_left_out(self, workdir: epath.Path) -> None:
    """Saves which files are broken, if some were left out.

    Args:
      workdir: folder of the study.
    """
    broken = getattr(self.train, "left_out", {})
    if broken:
      files.write_json(workdir / workdir_lib.LEFT_OUT, digests.stamp(broken))

  def save_labelled(self, workdir: epath.Path, purpose: str, seed: int) -> None:
    """Saves the indices of the labelled images, if only some are labelled.

    Args:
      workdir: folder of the study.
      purpose: name of a task, or `RETRAINING`.
      seed: seed of the study.
    """
    chosen = self.labelled_indices(purpose, seed)
    if chosen is not None:
      path = workdir / workdir_lib.labelled_path(seed, purpose)
      files.write_json(path, index_list(chosen))

  def epoch_size(self, purpose: str) -> int:
    """Counts the images of an epoch, the same for all seeds.

    Where each seed draws classes of its own, as many images as it has on the
    average over all draws.

    Args:
      purpose: name of a task, or `RETRAINING`.
    """
    labels = self._config.labels
    drawn = labels.classes < 1 and purpose != RETRAINING
    seed = self._config.seeds[0]
    if not drawn or not TASKS[purpose].reads_labels:
      return len(self.images(purpose, seed).train)
    if TASKS[purpose].keeps_unlabelled:
      return len(self.train)
    of = self.train.labels
    kept = len(np.unique(of[self.labelled_indices(purpose, seed)]))
    of = of[of >= 0]
    every = len(data.sample_per_class(of, labels.images, seed))
    return round(every * kept / len(np.unique(of)))

  # Cached, as images that were used stay on the devices.
  @functools.lru_cache(maxsize=4)  # noqa: B019
  def images(self, purpose: str, seed: int) -> Images:
    """Returns the images that a task, or retraining, is trained and tested on.

    Args:
      purpose: name of a task, or `RETRAINING`.
      seed: seed of the study.
    """
    chosen, test = self.labelled_indices(purpose, seed), self.test
    if chosen is None:
      if self._is_partly_labelled and (self.train.labels >= 0).all():
        # NPID takes the votes of training images, and is scored by labels.
        test = data.subset(test, np.flatnonzero(test.labels >= 0))
      return Images(self.train, test)
    known = np.isin(test.labels, np.unique(self.train.labels[chosen]))
    if not known.all():
      test = data.subset(test, np.flatnonzero(known))
    keeps = purpose != RETRAINING and TASKS[purpose].keeps_unlabelled
    choose = data.hide_labels_except if keeps else data.subset
    return Images(choose(self.train, chosen), test)


def index_list(chosen: np.ndarray) -> dict[str, Any]:
  """Returns indices i64[M] of images as JSON values, with their SHA-256."""
  digest = hashlib.sha256(chosen.astype("<i8").tobytes()).hexdigest()
  return {"sha256": digest, "images": chosen.tolist()}


def is_whole(listed: dict[str, Any]) -> bool:
  """Returns whether indices of `index_list` are those of their SHA-256."""
  try:
    return index_list(np.asarray(listed["images"], np.int64)) == listed
  except (KeyError, TypeError, ValueError, OverflowError):
    return False
