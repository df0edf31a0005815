"""Rounds that a configuration names, and a shorter study does not reach."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config.values import lookup

FIELDS = ("retrain.rounds", "transfer.rounds", "export.rounds")


def last(prune: Mapping[str, Any]) -> int:
  """Returns the last round of a section `config.prune`; 0 is the dense one."""
  one_shot = prune["method"] == "one-shot"
  return len(prune["densities"]) if one_shot else prune["rounds"]


def leave_out(config: ConfigDict, given: Collection[str]) -> list[str]:
  """Leaves out the rounds of a recipe that are not pruned.

  Args:
    config: configuration with its overrides; changed in place.
    given: dotted names of the fields that the user set, which are left as they
      are: one that is impossible is an error.

  Returns:
    A line a field of what was left out.
  """
  lines = []
  # A variant that prunes further than the rest keeps what the rest leaves out.
  whole = {field: lookup(config, field) for field in FIELDS}
  for variant in ("", *config.variants):
    prefix = f"variants.{variant}." if variant else ""
    own = lookup(config, prefix) if variant else config
    prune = {
      name: _find(own, f"prune.{name}", config.prune[name])
      for name in ("method", "densities", "rounds")
    }
    # What is impossible is refused when it is validated.
    if not (
      isinstance(prune["densities"], (tuple, list))
      and isinstance(prune["rounds"], int)
    ):
      continue
    end = last(prune)
    counts = "densities" if prune["method"] == "one-shot" else "rounds"
    for field in FIELDS:
      is_own = _find(own, field, None) is not None
      name = prefix + field if is_own else field
      there = lookup(config, name)
      rounds = there if is_own else whole[field]
      if name in given or not isinstance(rounds, (tuple, list)):
        continue
      if field == "transfer.rounds" and not (
        _find(own, "transfer.protocols", config.transfer.protocols)
      ):
        continue  # Nothing is transferred.
      kept = tuple(r for r in rounds if not (isinstance(r, int) and r > end))
      if kept == tuple(there):
        continue
      section, _, leaf = field.partition(".")
      with own.unlocked():
        if section not in own:
          own[section] = ConfigDict()
        own[section][leaf] = kept
      if len(kept) < len(rounds):
        beyond = ", ".join(str(r) for r in rounds if r not in kept)
        lines.append(
          f"config.{prefix}{field}: the rounds {beyond} of the recipe are left "
          f"out, as config.prune.{counts} is {prune[counts]}"
        )
  return lines


def _find(section: ConfigDict, field: str, default: object) -> object:
  """Returns a field of a section or of a variant, which has only some."""
  for part in field.split("."):
    if part not in section:
      return default
    section = section[part]
  return section
