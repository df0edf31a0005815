"""Reads values out of a configuration, by their dotted names."""

import re
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config import durations
from sslprune_jax.runtime.errors import ConfigError


def lookup(config: ConfigDict, field: str) -> Any:
  """Returns the value of a field named with dots, `train.milestones[0]` too."""
  value = config
  for place, part in re.findall(r"\[(\d+)\]|([^.\[\]]+)", field):
    value = value[int(place)] if place else value[part]
  return value


def updates(config: ConfigDict, field: str, **of_training: int) -> int:
  """Converts the duration in a field to updates; errors name the field.

  Args:
    config: the configuration.
    field: its name, with dots.
    **of_training: `batch_size`, `num_images` and `samples` of
      `durations.to_updates`.

  Raises:
    ConfigError: the field holds no duration.
  """
  try:
    return durations.to_updates(lookup(config, field), **of_training)
  except (TypeError, ValueError) as error:
    raise ConfigError(f"config.{field}: {error}") from None


def network_name(model: ConfigDict) -> str:
  """Names a network as results do: "resnet18 (imagenet) x 0.25, shrunk"."""
  stem = f" ({model.stem})" if model.stem else ""
  width = f" x {model.width:g}" if model.width != 1 else ""
  return model.name + stem + width + (", shrunk" if model.kept else "")


def resolve(config: ConfigDict) -> dict[str, Any]:
  """Returns what results depend on as JSON values, tuples as lists."""
  values = to_json(config.to_dict())
  values.pop("profile", None)
  return values


def to_json(value: Any) -> Any:
  """Returns values of a configuration as JSON has them, tuples as lists."""
  if isinstance(value, dict):
    return {key: to_json(item) for key, item in value.items()}
  if isinstance(value, (tuple, list)):
    return [to_json(item) for item in value]
  return value


def from_json(value: Any) -> Any:
  """Returns JSON values as a configuration holds them, lists as tuples."""
  if isinstance(value, dict):
    return {key: from_json(item) for key, item in value.items()}
  return tuple(map(from_json, value)) if isinstance(value, list) else value
