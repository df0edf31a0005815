"""Validation of a configuration: impossible values, refused by name."""

import math
from collections.abc import Callable, Collection
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax import models, tasks
from sslprune_jax.config import INITS, PROTOCOLS, lookup, updates
from sslprune_jax.pruning import magnitude
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import plan
from sslprune_jax.training import optimizer

DTYPES = ("float32", "bfloat16")
BATCH_NORMS = ("device", "global")
REWIND_SCHEDULES = ("continue", "restart")


def validate(config: ConfigDict) -> None:
  """Refuses impossible values, before any data is read or device touched.

  Args:
    config: the whole configuration, after overrides.

  Raises:
    ConfigError: names the field, what was found and what was expected.
  """
  _one_of(config, "model.name", models.NAMES)
  _check(config, "model.width", "a number above 0", lambda w: w > 0)
  _one_of(config, "model.dtype", DTYPES)
  _one_of(config, "model.batch_norm", BATCH_NORMS)
  _one_of(config, "prune.scope", magnitude.SCOPES)
  _one_of(config, "prune.schedule", REWIND_SCHEDULES)
  _some_of(config, "tasks", tasks.NAMES)
  _some_of(config, "retrain.inits", INITS, least=0)
  _check(config, "seeds", "distinct whole numbers, at least one", _distinct)
  _check(
    config,
    "prune.rate",
    "a number between 0 and 1, both excluded",
    lambda rate: 0 < rate < 1,
  )
  for field in ("retrain.fraction", "labels.images", "labels.classes"):
    _check(
      config,
      field,
      "a number above 0, at most 1",
      lambda fraction: 0 < fraction <= 1,
    )
  for field in (
    "profile", "prune.rounds", "prune.first_layers", "model.outputs"
  ):  # fmt: skip
    _check(config, field, "a whole number, at least 0", lambda n: n >= 0)
  for field in ("dataset.image_size", "dataset.workers"):
    _check(config, field, "a whole number, at least 1", lambda n: n >= 1)
  _check(config, "dataset.channels", "1 or 3", lambda n: n in (1, 3))
  _check(
    config,
    "dataset.padding",
    "at least 0 and below dataset.image_size",
    lambda n: 0 <= n < config.dataset.image_size,
  )
  _check(
    config,
    "dataset.crop_scale",
    "() or two shares of the area, 0 < least <= most <= 1; () unless "
    "dataset.resident",
    lambda scale: (
      len(scale) == 0
      or (
        config.dataset.resident
        and len(scale) == 2
        and 0 < scale[0] <= scale[1] <= 1
      )
    ),
  )
  for field in ("dataset.mean", "dataset.std"):
    _check(
      config,
      field,
      f"{config.dataset.channels} numbers, one a channel",
      lambda values: len(values) == config.dataset.channels,
    )
  _check(
    config,
    "dataset.rotation",
    "degrees from 0 to 180",
    lambda degrees: 0 <= degrees <= 180,
  )
  _check(
    config,
    "dataset.jitter",
    "four strengths, at least 0: brightness, contrast, saturation and hue, "
    "the last at most 0.5",
    lambda of: len(of) == 4 and min(of) >= 0 and of[3] <= 0.5,
  )
  _check(config, "dataset.grey", "a number from 0 to 1", lambda p: 0 <= p <= 1)
  last = config.prune.rounds
  for section in ("retrain",) + ("transfer",) * bool(config.transfer.protocols):
    _check(
      config,
      f"{section}.rounds",
      f"distinct rounds from 0 to {last} (prune.rounds)",
      lambda rounds: (
        len(set(rounds)) == len(rounds) and all(0 <= r <= last for r in rounds)
      ),
    )
  for name in ("every", "checkpoint", "evaluate"):
    _duration(config, f"log.{name}")
  _duration(config, "prune.rewind")
  _validate_tasks(config)
  _validate_transfer(config)
  for section in (
    "train", "retrain.train", "transfer.linear.train", "transfer.finetune.train"
  ):  # fmt: skip
    _validate_recipe(config, section)


def _validate_tasks(config: ConfigDict) -> None:
  _one_of(config, "rotnet.copies", (1, 4))
  _check(
    config,
    "exemplar.views",
    "a whole number from 2 to 8",
    lambda n: n in tasks.exemplar.VIEWS,
  )
  _one_of(config, "exemplar.mining", tasks.exemplar.MININGS)
  _one_of(config, "npid.objective", tasks.npid.OBJECTIVES)
  _one_of(config, "npid.normaliser", tasks.npid.NORMALISERS)
  _one_of(config, "deepcluster.start", tasks.deepcluster.STARTS)
  _one_of(config, "deepcluster.distances", DTYPES)
  for field in (
    "exemplar.embedding", "npid.embedding", "npid.negatives",
    "npid.neighbours", "deepcluster.clusters", "deepcluster.components",
    "deepcluster.iterations",
  ):  # fmt: skip
    _check(config, field, "a whole number, at least 1", lambda n: n >= 1)
  _check(
    config,
    "npid.temperature",
    "a number, at least 0.02",
    _temperature,
  )
  _check(
    config, "npid.momentum", "a number from 0, below 1", lambda m: 0 <= m < 1
  )
  for field in ("exemplar.margin", "s4l.rotation_weight"):
    _check(
      config,
      field,
      "a finite number, at least 0",
      lambda x: math.isfinite(x) and x >= 0,
    )


def _validate_transfer(config: ConfigDict) -> None:
  targets = tuple(config.transfer.targets)
  _check(
    config,
    "transfer.protocols",
    "distinct texts `protocol:target` or `protocol:target:fraction`, of "
    f"{PROTOCOLS}, {targets} and a number above 0, at most 1",
    lambda named: (
      not isinstance(named, str)
      and all(_is_protocol(text, targets) for text in named)
      and len({plan.parts(text) for text in named}) == len(named)
    ),
  )
  _check(
    config,
    "transfer.layers",
    "distinct names of layers, at least one",
    lambda names: (
      not isinstance(names, str) and 1 <= len(names) == len(set(names))
    ),
  )
  _check(
    config,
    "transfer.svm.costs",
    "costs above 0, at least one",
    lambda costs: len(costs) >= 1 and all(cost > 0 for cost in costs),
  )
  _one_of(config, "transfer.finetune.epochs", ("round", "total"))
  for name in targets:
    _check(
      config, f"transfer.targets.{name}.linear", "above 0", lambda x: x > 0
    )
  for field in ("transfer.batch_size", "transfer.knn.neighbours"):
    _check(config, field, "a whole number, at least 1", lambda n: n >= 1)
  _check(
    config, "transfer.knn.temperature", "a number, at least 0.02", _temperature
  )


def _validate_recipe(config: ConfigDict, section: str) -> None:
  _one_of(config, f"{section}.optimizer", optimizer.OPTIMIZERS)
  _one_of(config, f"{section}.schedule", optimizer.SCHEDULES)
  for name in ("duration", "warmup"):
    _duration(config, f"{section}.{name}")
  for i, _ in enumerate(lookup(config, f"{section}.milestones")):
    _duration(config, f"{section}.milestones[{i}]")
  _check(
    config,
    f"{section}.batch_size",
    "a whole number, at least 1",
    lambda n: n >= 1,
  )
  for name in ("learning_rate", "weight_decay", "decay"):
    _check(
      config,
      f"{section}.{name}",
      "a finite number, at least 0",
      lambda x: math.isfinite(x) and x >= 0,
    )
  _check(
    config,
    f"{section}.momentum",
    "a number from 0, below 1",
    lambda m: 0 <= m < 1,
  )


def _duration(config: ConfigDict, field: str) -> None:
  updates(config, field, batch_size=1, num_images=1)


def _check(
  config: ConfigDict, field: str, expected: str, holds: Callable[[Any], bool]
) -> None:
  value = lookup(config, field)
  if not holds(value):
    raise ConfigError(f"config.{field}: found {value!r}, expected {expected}")


def _one_of(config: ConfigDict, field: str, allowed: Collection) -> None:
  _check(
    config, field, f"one of {tuple(allowed)}", lambda value: value in allowed
  )


def _some_of(
  config: ConfigDict, field: str, allowed: Collection, least: int = 1
) -> None:
  _check(
    config,
    field,
    f"distinct names among {tuple(allowed)}, at least {least}",
    lambda names: (
      not isinstance(names, str)
      and least <= len(names) == len(set(names))
      and set(names) <= set(allowed)
    ),
  )


def _is_protocol(text: str, targets: Collection[str]) -> bool:
  try:
    protocol, target, fraction = plan.parts(text)
  except ValueError:
    return False
  return protocol in PROTOCOLS and target in targets and 0 < fraction <= 1


def _temperature(value: float) -> bool:
  return math.isfinite(value) and value >= 0.02  # exp(1 / 0.01): no float32.


def _distinct(seeds: Any) -> bool:
  return (
    len(seeds) >= 1
    and len(set(seeds)) == len(seeds)
    and all(isinstance(seed, int) and seed >= 0 for seed in seeds)
  )
