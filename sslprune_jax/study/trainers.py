"""The trainers of a study: which one a stage runs, and how much of it."""

import json
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import tasks
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.exchange.importing import read_start
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import listings, start
from sslprune_jax.study.images import RETRAINING, StudyData
from sslprune_jax.training.trainer import Trainer
from sslprune_jax.workdir import CONTROLS, Stage


class Trainers:
  """Caches trainers: studies with equal training fields share a compiled one.

  Attributes:
    pretext: trainer by task.
    retraining: trainer on labels; None where nothing is retrained.
    rewind: update of the dense training that is rewound to, k, by task.
  """

  def __init__(
    self, config: ConfigDict, data: StudyData, cache: dict[str, Trainer]
  ):
    """Makes the trainers that are not in the cache.

    Args:
      config: validated, without variants.
      data: images of the study.
      cache: trainers of the studies of this process, by what they read; those
        that are made are added.

    Raises:
      ConfigError: the configuration does not fit the data or the devices.
    """
    self._config, self._data, self._cache = config, data, cache
    self._names: dict[Trainer, str] = {}
    begun = read_start(config.start).ticket if config.start else None
    self._starts_pruned = bool(begun) and masks_lib.density(begun.masks) < 1
    self.pretext, self.rewind = {}, {}
    for task in config.tasks:
      self.pretext[task] = self._trainer("train", task, task)
      self.rewind[task] = self._update_before_the_end(self.pretext[task], task)
      self.pretext[task].rewinds.add(self.rewind[task])
    self.retraining = None
    if config.retrain.rounds and config.retrain.inits:
      self.retraining = self._trainer("retrain.train", "labels", RETRAINING)
      if config.retrain.schedule == "continue":
        self._k_of_labels = self._update_before_the_end(
          self.retraining, "retraining"
        )

  def trainer_for(self, stage: Stage) -> Trainer:
    """Returns the trainer that a stage runs."""
    return self.retraining if stage.init else self.pretext[stage.task]

  def start(self, stage: Stage) -> int:
    """Returns the update of the schedule that a stage starts from."""
    if stage.init:
      continues = self._config.retrain.schedule == "continue"
      same = self._is_of_the_same_labels(stage)
      return self._k_of_labels if continues and same else 0
    continues = self._config.prune.schedule == "continue"
    return self.rewind[stage.task] if stage.round and continues else 0

  def keeps_head(self, stage: Stage) -> bool:
    """Returns whether a retraining starts with the head of its ticket."""
    own = self._config.retrain.head == "own"
    return own and self._is_of_the_same_labels(stage)

  def _is_of_the_same_labels(self, stage: Stage) -> bool:
    """Returns whether a retraining repeats what found the winning ticket."""
    whole = self._config.labels.classes == 1
    return stage.init == "rewind" and stage.task == "labels" and whole

  def trains(self, stage: Stage) -> bool:
    """Returns whether a stage makes updates."""
    prune = self._config.prune
    if stage.init:
      return True
    return prune.method == "rounds" if stage.round else prune.train_dense

  def num_updates(self, stage: Stage) -> int:
    """Counts the updates of a stage."""
    if not self.trains(stage):
      return 0
    return self.trainer_for(stage).length - self.start(stage)

  def num_images(self, stage: Stage) -> int:
    """Counts the images that the network sees in a stage."""
    if self.is_reinit(stage) or not self.trains(stage):
      return 0
    return self.trainer_for(stage).num_images(self.start(stage))

  def is_reinit(self, stage: Stage) -> bool:
    """Returns whether a control is re-init bit for bit: it has no mask yet."""
    inits = self._config.retrain.inits
    return (
      stage.round == 0
      and not self._starts_pruned
      and stage.init in CONTROLS
      and "reinit" in inits[: inits.index(stage.init)]
    )

  def _trainer(self, section: str, task: str, purpose: str) -> Trainer:
    """Returns a trainer of a recipe's section on the images of a purpose."""
    # How a study prunes is none of it, nor are the studies' names and seeds: an
    # epoch of all seeds is as long.
    config = self._config
    read = config_lib.resolve(config)
    read = {
      "of": (section, task, purpose),
      "recipe": config_lib.resolve(config_lib.lookup(config, section)),
      "fraction": config.retrain.fraction,
      **{name: read[name] for name in ("dataset", "model", "labels", "log")},
      "views": read["views"] if section == "train" else None,
      **({task: read[task]} if task in read else {}),
      "start": start.digest(config) if TASKS[task].learns_from_start else "",
    }
    key = json.dumps(read, sort_keys=True)
    if key not in self._cache:
      views = config.views if section == "train" else None
      ticket = read_start(config.start).ticket if config.start else None
      made = tasks.make(config, task, self._data.train, views, ticket)
      source = self._data.images(purpose, config.seeds[0]).train
      size = self._data.epoch_size(purpose)
      self._cache[key] = Trainer(config, section, made, source, size)
    self._names[self._cache[key]] = key
    return self._cache[key]

  def describe(self, stage: Stage) -> dict[str, Any]:
    """Says what a stage's training is a function of, but for what it begins as.

    Returns:
      JSON values: two stages of any studies that agree in these, and start from
      the same arrays, end in the same.
    """
    return {
      "trainer": self._names[self.trainer_for(stage)],
      "seed": stage.seed,
      "start": self.start(stage),
      "images": listings.describe(self._config),
    }

  def _update_before_the_end(self, trainer: Trainer, name: str) -> int:
    """Returns k, the update of a training that is rewound to."""
    update = trainer.to_updates(self._config, "prune.rewind")
    if update >= trainer.length:
      raise ConfigError(
        f"config.prune.rewind: found {self._config.prune.rewind!r}, which is "
        f"update {update} of {name}, expected one before the end of training, "
        f"update {trainer.length}"
      )
    return update
