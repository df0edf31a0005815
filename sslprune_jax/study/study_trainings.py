"""The trainings of a study: which one a stage runs, and how much of it."""

from ml_collections import ConfigDict

from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study.images import RETRAINING, StudyData
from sslprune_jax.study.trainers import Trainings
from sslprune_jax.training.trainer import Trainer
from sslprune_jax.workdir import Stage


class StudyTrainings:
  """The trainings of a study.

  Attributes:
    pretext: by task.
    retraining: on labels; None where nothing is retrained.
    rewind: the update of the dense training that is rewound to, by task.
  """

  def __init__(self, config: ConfigDict, data: StudyData, made: Trainings):
    """Makes the trainings that are not made yet.

    Args:
      config: validated, without variants.
      data: of the study.
      made: that other studies of this process share.

    Raises:
      ConfigError: the configuration does not fit the data or the devices.
    """
    self._config = config
    self.pretext, self.rewind = {}, {}
    for task in config.tasks:
      self.pretext[task] = made.get(config, "train", task, data, task)
      self.rewind[task] = self._rewind_update(task)
    self.retraining = None
    if config.retrain.rounds and config.retrain.inits:
      self.retraining = made.get(
        config, "retrain.train", "labels", data, RETRAINING
      )

  def _rewind_update(self, task: str) -> int:
    """Returns k, the update of the dense training that is rewound to."""
    training = self.pretext[task]
    update = training.to_updates(self._config, "prune.rewind")
    if update >= training.length:
      raise ConfigError(
        f"config.prune.rewind: found {self._config.prune.rewind!r}, which is "
        f"update {update} of {task}, expected one before the end of training, "
        f"update {training.length}"
      )
    return update

  def of(self, stage: Stage) -> Trainer:
    """Returns the training that a stage runs."""
    return self.retraining if stage.init else self.pretext[stage.task]

  def start(self, stage: Stage) -> int:
    """Returns the update of the schedule that a stage starts from."""
    rewound = stage.round > 0 and stage.init is None
    continues = self._config.prune.schedule == "continue"
    return self.rewind[stage.task] if rewound and continues else 0

  def images(self, stage: Stage) -> int:
    """Counts the images that the network sees in a stage."""
    if self.is_reinit(stage):
      return 0
    return self.of(stage).num_images(self.start(stage))

  def is_reinit(self, stage: Stage) -> bool:
    """Returns whether a control is re-init bit for bit: it has no mask yet."""
    inits = self._config.retrain.inits
    return (
      stage.round == 0
      and stage.init in ("random", "adjusted")
      and "reinit" in inits[: inits.index(stage.init)]
    )
