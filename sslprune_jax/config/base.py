"""The configuration that every study starts from.

A config in `configs/` calls `base()` and sets what differs. Every field is set
on the command line too: `--config.prune.rounds=3`. A duration is a string with
its unit: "90ep" (epochs), "500it" (updates), "3840000samples" (images seen).
"""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config import fields
from sslprune_jax.config.datasets import DATASETS, dataset
from sslprune_jax.config.recipe_tables import PROBE, PROBE_LENGTHS
from sslprune_jax.config.rules import Field, section
from sslprune_jax.config.values import lookup

# On VOC2007: the paper's length and rate, and where it says nothing the rest of
# Goyal et al. 2019's code.
_FINETUNE = {
  "duration": "90ep",
  "batch_size": 128,
  "learning_rate": 0.01,
  "nesterov": True,
  "weight_decay": 1e-6,
  "milestones": ("50ep", "65ep", "80ep"),
}


def base() -> ConfigDict:
  """Returns the configuration that every study starts from.

  Returns:
    A locked ConfigDict: unknown fields are refused. Every registered task that
    has fields has the section of its name.
  """
  config = ConfigDict()
  for name, table in fields.tables().items():
    *parents, last = name.split(".")
    where = lookup(config, ".".join(parents))
    if not name:
      config.update(section(table))
    elif parents == ["transfer", "targets"]:
      where[last] = _target(last)
    else:
      where[last] = section(table)
    if name == "transfer":
      config.transfer.targets = ConfigDict()
  config.dataset = dataset("digits")
  config.transfer.linear.train.update(PROBE | PROBE_LENGTHS["vissl"])
  config.transfer.finetune.train.update(_FINETUNE)
  # Studies that differ from this one: name -> the fields that differ. They are
  # run in its place, each in a folder of its name.
  config.variants = ConfigDict()
  return config.lock()


def recipe(**changed: Any) -> ConfigDict:
  """Returns the recipe of one training, with some fields set.

  `learning_rate` is the rate for this `batch_size`, used as it is.
  """
  found = section(fields.tables()["train"]).lock()
  found.update(changed)
  return found


def _target(name: str) -> ConfigDict:
  """Returns what a target has of its own; the rest is the network's input."""
  preset, table = dataset(name), fields.tables()[f"transfer.targets.{name}"]
  target = section(table)
  target.update({field: preset[field] for field in table if field in preset})
  target.linear = DATASETS[name].linear
  return target


def every_field() -> dict[str, Field]:
  """Returns all fields by their dotted names, with the defaults of `base()`."""
  config = base()
  return {
    f"{prefix}.{name}".lstrip("."): dataclasses.replace(
      field, default=lookup(config, prefix)[name]
    )
    for prefix, table in fields.tables().items()
    for name, field in table.items()
  }
