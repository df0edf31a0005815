"""The configuration of a study: defaults, data presets, recipes, validation.

A config in `configs/` calls `base()` and sets what differs. Every field is set
on the command line too: `--config.prune.rounds=3`. A duration is a string with
its unit: "90ep" (epochs), "500it" (updates), "3840000samples" (images seen).
"""

import math
import re
from collections.abc import Callable, Collection
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax import models, optim, pruning

TASKS = ("labels", "rotnet")
INITS = ("rewind", "reinit", "random")
DTYPES = ("float32", "bfloat16")
BATCH_NORMS = ("device", "global")
REWIND_SCHEDULES = ("continue", "restart")


class ConfigError(ValueError):
  """A field of the configuration is impossible; the message names it."""


def base() -> ConfigDict:
  """Returns the configuration that every study starts from.

  Returns:
    A locked ConfigDict: unknown fields are refused.
  """
  config = ConfigDict()
  config.name = "study"  # the default workdir is runs/<name>
  config.seeds = (0,)
  config.tasks = ("labels",)  # the tasks whose masks are compared
  config.dataset = dataset("digits")
  config.model = ConfigDict(
    {
      "name": "convnet",
      "outputs": 0,  # of the label head; 0: as many as there are classes
      "dtype": "float32",  # of the compute; weights are always float32
      "batch_norm": "device",  # statistics per "device" or over all: "global"
    }
  )
  config.rotnet = ConfigDict({"copies": 4})  # angles an image: all 4, or 1
  config.train = recipe()
  config.prune = ConfigDict(
    {
      "rate": 0.2,  # of the *remaining* weights, each round
      "rounds": 3,
      "scope": "global",  # rank "global"ly, or within each "layer"
      "first_layers": 0,  # prune only the first n layers; 0: all
      "rewind": "1ep",  # k: where W_k is taken in the dense training
      "schedule": "continue",  # the schedule goes on from k, or "restart"s
    }
  )
  config.retrain = ConfigDict(
    {
      "rounds": (0, 3),  # whose masks are retrained on labels; 0: dense
      "inits": INITS,
      "fraction": 1.0,  # of the labelled images of each class
      "train": recipe(),
    }
  )
  config.log = ConfigDict({"every": "50it", "checkpoint": "1000it"})
  return config.lock()


def recipe(**fields: Any) -> ConfigDict:
  """Returns the recipe of one training, with some fields set.

  `learning_rate` is the rate for this `batch_size`, used as it is.
  """
  return ConfigDict(
    {
      "duration": "10ep",
      "batch_size": 128,  # images an update, over all devices
      "optimizer": "sgd",
      "learning_rate": 0.1,
      "momentum": 0.9,
      "nesterov": False,
      "weight_decay": 1e-4,  # coupled (L2), with Adam too
      "schedule": "step",
      "warmup": "0it",
      "milestones": (),  # durations at which "step" decays
      "decay": 0.1,
    }
    | fields
  ).lock()


def dataset(name: str) -> ConfigDict:
  """Returns the preset of a data set.

  Args:
    name: "digits", "cifar10", "fashion_mnist", "imagenet2012" or "folder" (of
      images, one subfolder a class). Other TFDS sets: set the fields.

  Returns:
    The `dataset` section.

  Raises:
    ConfigError: there is no preset of this name.
  """
  presets = {
    "digits": {"image_size": 8, "channels": 1, "padding": 1},
    "fashion_mnist": {"image_size": 28, "channels": 1, "padding": 2},
    "cifar10": {"image_size": 32},
    "imagenet2012": {"image_size": 224, "test": "validation"},
    "folder": {"image_size": 64},
  }
  means = {
    "digits": ((0.305,), (0.376,)),
    "fashion_mnist": ((0.286,), (0.353,)),
    "cifar10": ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
  }
  if name not in presets:
    raise ConfigError(
      f"dataset: found {name!r}, expected one of {tuple(presets)}"
    )
  # Of pixels in [0, 1]; ImageNet's serve colour images in general.
  mean, std = means.get(name, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
  large = name in ("imagenet2012", "folder")
  return ConfigDict(
    {
      "name": name,
      "data_dir": "",  # TFDS's folder, or the folder of images
      "train": "train",  # splits
      "test": "test",
      "image_size": 32,
      "channels": 3,
      "mean": mean,
      "std": std,
      # The set lives on the devices; otherwise images are decoded as they are
      # needed, each to a random resized crop.
      "resident": not large,
      "workers": 16,  # threads that decode
      "padding": 0 if large else 2,  # of the random crop
      "flip": name != "digits",
    }
    | presets[name]
  ).lock()


def validate(config: ConfigDict) -> None:
  """Refuses impossible values, before any data is read or device touched.

  Args:
    config: the whole configuration, after overrides.

  Raises:
    ConfigError: names the field, what was found and what was expected.
  """
  _one_of(config, "model.name", models.NAMES)
  _one_of(config, "model.dtype", DTYPES)
  _one_of(config, "model.batch_norm", BATCH_NORMS)
  _one_of(config, "prune.scope", pruning.SCOPES)
  _one_of(config, "prune.schedule", REWIND_SCHEDULES)
  _one_of(config, "rotnet.copies", (1, 4))
  _some_of(config, "tasks", TASKS)
  _some_of(config, "retrain.inits", INITS, least=0)
  _check(config, "seeds", "distinct whole numbers, at least one", _distinct)
  _check(
    config,
    "prune.rate",
    "a number between 0 and 1, both excluded",
    lambda rate: 0 < rate < 1,
  )
  _check(
    config,
    "retrain.fraction",
    "a number above 0, at most 1",
    lambda fraction: 0 < fraction <= 1,
  )
  for field in ("prune.rounds", "prune.first_layers", "model.outputs"):
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
  for field in ("dataset.mean", "dataset.std"):
    _check(
      config,
      field,
      f"{config.dataset.channels} numbers, one a channel",
      lambda values: len(values) == config.dataset.channels,
    )
  last = config.prune.rounds
  _check(
    config,
    "retrain.rounds",
    f"distinct rounds from 0 to {last} (prune.rounds)",
    lambda rounds: (
      len(set(rounds)) == len(rounds) and all(0 <= r <= last for r in rounds)
    ),
  )
  for field in ("prune.rewind", "log.every", "log.checkpoint"):
    _duration(config, field)
  for section in ("train", "retrain.train"):
    _validate_recipe(config, section)


def _validate_recipe(config: ConfigDict, section: str) -> None:
  _one_of(config, f"{section}.optimizer", optim.OPTIMIZERS)
  _one_of(config, f"{section}.schedule", optim.SCHEDULES)
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


def lookup(config: ConfigDict, field: str) -> Any:
  """Returns the value of a field named with dots, `train.milestones[0]` too."""
  value = config
  for part in re.findall(r"[^.\[\]]+", field):
    value = value[int(part)] if part.isdigit() else value[part]
  return value


def updates(
  config: ConfigDict, field: str, *, batch_size: int, num_images: int
) -> int:
  """Converts the duration in a field to updates; errors name the field."""
  try:
    return optim.updates(
      lookup(config, field), batch_size=batch_size, num_images=num_images
    )
  except (TypeError, ValueError) as error:
    raise ConfigError(f"config.{field}: {error}") from None


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


def _distinct(seeds: Any) -> bool:
  return (
    len(seeds) >= 1
    and len(set(seeds)) == len(seeds)
    and all(isinstance(seed, int) and seed >= 0 for seed in seeds)
  )


def resolved(config: ConfigDict) -> dict[str, Any]:
  """Returns the configuration as JSON values, tuples as lists."""
  return _plain(config.to_dict())


def _plain(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, (tuple, list)):
    return [_plain(item) for item in value]
  return value


def differences(old: Any, new: Any, field: str = "config") -> list[str]:
  """Lists the fields in which two resolved configurations differ.

  Args:
    old: of the run on disk.
    new: of this run.
    field: the name of the value that is compared.

  Returns:
    Lines such as `config.prune.rate: 0.2 there, 0.5 now`.
  """
  if isinstance(old, dict) and isinstance(new, dict):
    return [
      line
      for key in sorted(old.keys() | new.keys())
      for line in differences(old.get(key), new.get(key), f"{field}.{key}")
    ]
  return [] if old == new else [f"{field}: {old!r} there, {new!r} now"]
