"""Variants: the studies of one configuration that differ in some fields.

A figure compares what differs in more than the task: recipes, depths, networks.
Each variant is a study of its own, in a folder of its name. Several figures are
one configuration where the names of variants say which: `fig3_masks/labels`.
"""

import re
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.runtime.errors import ConfigError

_NAME = re.compile(r"([a-z0-9_]+/)?[a-z0-9_]+")


def expand(config: ConfigDict) -> dict[str, ConfigDict]:
  """Returns the studies of a configuration.

  Args:
    config: configuration with its overrides. They hold for every variant that
      does not set the field itself, such as by
      `--config.variants.rotnet.train.duration=2ep`.

  Returns:
    Whole configurations by the name of their variant, in order; itself, named
    "", where it has no variants.

  Raises:
    ConfigError: a variant sets a field that does not exist, or to another type.
  """
  if not config.variants:
    return {"": config}
  studies = {}
  for name, changes in config.variants.items():
    if not _NAME.fullmatch(name):
      raise ConfigError(
        f"config.variants: found the name {name!r}, which is a folder's too: "
        "expected lower case letters, digits and _"
      )
    study = config.copy_and_resolve_references()
    study.variants = ConfigDict()
    try:
      study.update(changes)
    except (AttributeError, KeyError, TypeError) as error:
      words = " ".join(str(error.args[0] if error.args else error).split())
      raise ConfigError(f"config.variants.{name}: {words}") from None
    studies[name] = study
  return studies


def by_figure(config: ConfigDict) -> dict[str, ConfigDict]:
  """Returns the configuration of each figure, as if it were run alone.

  Args:
    config: configuration with its overrides.

  Returns:
    Configurations by the folder of their figure; the whole, "", where names of
    variants say of none.
  """
  found: dict[str, ConfigDict] = {}
  for name, changes in config.variants.items():
    figure, _, own = name.rpartition("/")
    if figure not in found:
      found[figure] = config.copy_and_resolve_references()
      found[figure].variants = ConfigDict()
      found[figure].figure = figure or config.figure
    with found[figure].unlocked():
      found[figure].variants[own] = changes
  return found or {"": config}


def add(config: ConfigDict, name: str, study: ConfigDict) -> None:
  """Adds a variant.

  Args:
    config: configuration that gets the variant.
    name: name of the variant.
    study: the whole configuration; what differs is kept.
  """
  changes = _difference(config, study)
  for field in ("name", "figure", "variants"):
    changes.pop(field, None)
  with config.unlocked():
    config.variants[name] = ConfigDict(changes)


def _difference(base: ConfigDict, other: ConfigDict) -> dict[str, Any]:
  changes = {}
  for key, value in other.items():
    if isinstance(value, ConfigDict):
      inner = _difference(base[key], value)
      if inner:
        changes[key] = inner
    elif value != base[key]:
      changes[key] = value
  return changes
