"""Recipes of a configuration: batch, length, optimizer, schedule, calendar."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import jax
import optax
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax.config import durations
from sslprune_jax.runtime import errors
from sslprune_jax.training import optimizer as optimizer_lib


@dataclasses.dataclass(frozen=True)
class Recipe:
  """A recipe for a number of images.

  Attributes:
    batch_size: images of an update, over all devices.
    length: updates of the whole schedule.
    optimizer: optimizer without its learning rate.
    schedule: `i32[] update -> f32[] learning rate`.
  """

  batch_size: int
  length: int
  optimizer: optax.GradientTransformation
  schedule: Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Calendar:
  """What is due once so many updates are done.

  Attributes:
    length: updates of the whole schedule.
    epoch: updates of an epoch.
    prepares_epochs: whether the task prepares its epochs.
    log: updates a line of metrics.
    save: updates from a checkpoint to the next.
    evaluate: updates from an evaluation to the next; 0 for none.
  """

  length: int
  epoch: int
  prepares_epochs: bool
  log: int
  save: int
  evaluate: int

  def saves_at(self, update: int) -> bool:
    """Returns whether a checkpoint is due; the end needs none."""
    return update < self.length and update % self.save == 0

  def evaluates_at(self, update: int) -> bool:
    """Returns whether an evaluation is due."""
    return self.evaluate > 0 and update % self.evaluate == 0

  def begins_epoch_at(self, update: int) -> bool:
    """Returns whether the task prepares an epoch."""
    return self.prepares_epochs and update % self.epoch == 0

  def stretches(self, begin: int) -> Iterator[tuple[int, int]]:
    """Yields (first, last): from one pause of the feed to the next."""
    pauses = (
      update
      for update in range(begin + 1, self.length)
      if self.begins_epoch_at(update) or self.evaluates_at(update)
    )
    return itertools.pairwise([begin, *pauses, self.length])


def make_recipe(
  config: ConfigDict,
  section: str,
  num_images: int,
  *,
  samples: int = 1,
  own_head: bool = False,
  frozen_trunk: bool = False,
) -> Recipe:
  """Makes a recipe.

  Args:
    config: validated.
    section: section of the recipe, such as "train" or "retrain.train".
    num_images: number of training images.
    samples: images seen for an image of a batch; see `durations.to_updates`.
    own_head: whether the head has its own; see `optimizer.optimizer`.
    frozen_trunk: whether the head alone moves; see `optimizer.optimizer`.

  Raises:
    ConfigError: it does not fit the images.
  """
  recipe = config_lib.lookup(config, section)
  _check_images(section, recipe.batch_size, num_images)

  def updates(field: str) -> int:
    return config_lib.updates(
      config,
      f"{section}.{field}",
      batch_size=recipe.batch_size,
      num_images=num_images,
      samples=samples,
    )

  length = updates("duration")
  if length < 1:
    raise errors.ConfigError(
      f"config.{section}.duration: found {recipe.duration!r}, which is no "
      "update, expected at least one"
    )
  optimizer = optimizer_lib.optimizer(
    recipe.optimizer,
    weight_decay=recipe.weight_decay,
    momentum=recipe.momentum,
    nesterov=recipe.nesterov,
    own_head=own_head,
    frozen_trunk=frozen_trunk,
  )
  schedule = optimizer_lib.schedule(
    recipe.schedule,
    recipe.learning_rate,
    length=length,
    warmup=updates("warmup"),
    milestones=[
      updates(f"milestones[{i}]") for i in range(len(recipe.milestones))
    ],
    decay=recipe.decay,
  )
  return Recipe(recipe.batch_size, length, optimizer, schedule)


def check_devices(section: str, batch_size: int, count: int, unit: str) -> None:
  """Refuses a batch that does not divide among some devices.

  Args:
    section: section of the recipe.
    batch_size: images of an update, over all devices.
    count: number of devices.
    unit: label used in the error message.

  Raises:
    ConfigError: names the field.
  """
  if batch_size % count:
    raise errors.ConfigError(
      f"config.{section}.batch_size: found {batch_size}, expected a multiple "
      f"of the {count} {unit}"
    )


def _check_images(section: str, batch_size: int, num_images: int) -> None:
  if batch_size > num_images:
    raise errors.ConfigError(
      f"config.{section}.batch_size: found {batch_size}, expected at most the "
      f"{num_images} training images"
    )


def stretch_recipe(
  config: ConfigDict, section: str, factor: float
) -> ConfigDict:
  """Returns a configuration with a recipe that is as many times as long.

  Args:
    config: validated; not changed.
    section: section of the recipe.
    factor: factor of its duration and its milestones.
  """
  if factor == 1:
    return config
  config = config.copy_and_resolve_references()
  recipe = config_lib.lookup(config, section)
  recipe.duration = durations.stretch(recipe.duration, factor)
  recipe.milestones = tuple(
    durations.stretch(milestone, factor) for milestone in recipe.milestones
  )
  return config
