"""`linear`: a linear classifier by SGD on features that are extracted once.

Reference: Goyal et al. 2019, arXiv 1905.01235, section 5.
"""

import jax
import numpy as np

from sslprune_jax import data
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import devices, rng, trees
from sslprune_jax.runtime.errors import ConfigError, DivergedError
from sslprune_jax.training.metrics import MetricLines
from sslprune_jax.training.recipe import make_recipe
from sslprune_jax.transfer import logistic
from sslprune_jax.transfer.base import Probe, recipe_settings
from sslprune_jax.transfer.finetune import FineTuning


class Linear(Probe):
  """A linear classifier by SGD."""

  section = "transfer.linear.train"

  @classmethod
  def make(cls, row, config, *args):
    """Makes this; through the frozen trunk, where images are augmented."""
    if not config.transfer.linear.augment:
      return cls(row, config, *args)
    if config.transfer.held_out:
      raise ConfigError(
        f"config.transfer.held_out: found {config.transfer.held_out}, expected "
        "0 where transfer.linear.augment is True: no features are kept to "
        "choose by"
      )
    return FineTuning(row, config, *args, section=cls.section, probes=True)

  @classmethod
  def factor(cls, row, config, stage):
    """Returns that of the target: large ones are trained on for less long."""
    del row
    return config.transfer.targets[stage.target].linear

  def check(self, train: data.Source) -> None:
    """Refuses a recipe that does not fit the images."""
    self._recipe = make_recipe(self.config, self.section, len(train))
    rest = len(train) - self.held_out(len(train))
    if self._recipe.batch_size > rest:
      raise ConfigError(
        f"config.{self.section}.batch_size: found {self._recipe.batch_size}, "
        f"expected at most the {rest} training images of {self.target.name} "
        "that are not held out"
      )
    self._epoch = logistic.make_epoch(
      self._recipe.optimizer, self._recipe.schedule
    )

  def judge(self, train, test, directory, seed):
    """Trains on the features, and tests with the last weights."""
    batch_size, length = self._recipe.batch_size, self._recipe.length
    per_epoch = len(train.place) // batch_size
    everywhere = devices.replicated_sharding()
    labels = train.labels_by_row().reshape(-1)
    place, labels = jax.device_put(
      (train.place.astype(np.int32), labels), everywhere
    )
    classifier = logistic.create(
      train.rows, place, self.target.num_classes, self.channels
    )
    opt_state = self._recipe.optimizer.init(classifier.params)
    lines = MetricLines(
      directory / workdir_lib.METRICS,
      every=1,
      updates_per_epoch=per_epoch,
      start=0,
    )
    for epoch, first in enumerate(range(0, length, per_epoch)):
      order = rng.permutation(seed, epoch, len(train.place))
      count = min(per_epoch, length - first)
      index = train.place[order[: count * batch_size]]
      classifier, opt_state, metrics = self._epoch(
        classifier,
        opt_state,
        train.rows,
        labels,
        index.astype(np.int32).reshape(count, -1),
        np.int32(first),
      )
      metrics = {name: float(value) for name, value in metrics.items()}
      found = {"loss": metrics["loss"], "classifier": (classifier, opt_state)}
      if not trees.are_finite(found).all():
        raise DivergedError(
          f"{directory}: epoch {epoch + 1}: the loss is {metrics['loss']}, "
          "expected it and the classifier to be finite"
        )
      lines.add(first + count, metrics)
    lines.close()
    truth = jax.device_put(test.labels_by_row(), devices.split())
    found = logistic.scores(classifier, test.rows, truth)
    scores = {name: float(value) for name, value in found.items()}
    recipe = self.config.transfer.linear.train
    return scores, recipe_settings(recipe) | {"augment": False}
