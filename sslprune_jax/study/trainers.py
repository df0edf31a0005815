"""The trainings of one process: studies that may share one compile it once."""

import json

from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax.study.images import StudyData
from sslprune_jax.tasks import setup
from sslprune_jax.training.trainer import Trainer


class Trainings:
  """Makes trainings, each once for all studies that agree in what it reads."""

  def __init__(self):
    self._made: dict[str, Trainer] = {}

  def get(
    self,
    config: ConfigDict,
    section: str,
    task: str,
    data: StudyData,
    images_of: str,
  ) -> Trainer:
    """Returns a training.

    Args:
      config: validated.
      section: of its recipe.
      task: its name.
      data: of the study.
      images_of: what of it: a task, or `RETRAINING`.

    Raises:
      ConfigError: the recipe does not fit the data or the devices.
    """
    # How a study prunes is none of it, nor are the studies' names and seeds:
    # the images of another seed are as many.
    read = config_lib.resolved(config)
    read = {
      "of": (section, task, images_of),
      "recipe": config_lib.resolved(config_lib.lookup(config, section)),
      "fraction": config.retrain.fraction,
      **{name: read[name] for name in ("dataset", "model", "labels", "log")},
      **({task: read[task]} if task in read else {}),
    }
    key = json.dumps(read, sort_keys=True)
    if key not in self._made:
      made = setup.make_task(config, task, data.train)
      images = data.images(images_of, config.seeds[0]).train
      self._made[key] = Trainer(config, section, made, images)
    return self._made[key]
