"""Makes recipes from the configuration: batch, length, optimizer, schedule."""

import dataclasses
from collections.abc import Callable

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
    batch_size: over all devices.
    length: updates.
    optimizer: without its learning rate.
    schedule: `i32[] update -> f32[] learning rate`.
  """

  batch_size: int
  length: int
  optimizer: optax.GradientTransformation
  schedule: Callable[[jax.Array], jax.Array]


def make_recipe(
  config: ConfigDict,
  section: str,
  num_images: int,
  *,
  reads: int = 1,
  own_head: bool = False,
  frozen_trunk: bool = False,
) -> Recipe:
  """Makes a recipe.

  Args:
    config: validated.
    section: such as "train" or "retrain.train".
    num_images: in the training set.
    reads: see `durations.to_updates`.
    own_head: see `optimizer.optimizer`.
    frozen_trunk: see `optimizer.optimizer`.

  Raises:
    ConfigError: it does not fit the images.
  """
  recipe = config_lib.lookup(config, section)
  if recipe.batch_size > num_images:
    raise errors.ConfigError(
      f"config.{section}.batch_size: found {recipe.batch_size}, expected at "
      f"most the {num_images} training images"
    )

  def updates(field: str) -> int:
    return config_lib.updates(
      config,
      f"{section}.{field}",
      batch_size=recipe.batch_size,
      num_images=num_images,
      reads=reads,
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


def stretched(config: ConfigDict, section: str, factor: float) -> ConfigDict:
  """Returns a configuration with a recipe that is as many times as long.

  Args:
    config: validated; not changed.
    section: of the recipe.
    factor: of its duration and its milestones.
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
