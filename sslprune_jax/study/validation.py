"""Validation of a configuration: impossible values, refused by name."""

from collections.abc import Collection, Iterator

from ml_collections import ConfigDict

from sslprune_jax.config import every_field, lookup, rounds
from sslprune_jax.config.durations import to_updates
from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.config.protocols import PROTOCOLS, find
from sslprune_jax.config.rules import Rule, channels, one_of, some_of
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.study import plan


def validate(config: ConfigDict) -> None:
  """Refuses impossible values, before any data is read or device touched.

  Args:
    config: the whole configuration, after overrides.

  Raises:
    ConfigError: names the field, what was found and what was expected.
  """
  for name, rule in _rules(config):
    rule.check(name, lookup(config, name))


def _rules(config: ConfigDict) -> Iterator[tuple[str, Rule]]:
  """Yields the rules of all fields: those of their rows, then what is below."""
  for name, field in every_field().items():
    yield name, field.rule
  yield "model.name", one_of(NETWORKS)
  yield "tasks", some_of(TASKS)
  yield from _dataset_rules(config.dataset)
  if not config.dataset.resident:
    yield (
      "views.crop_scale",
      Rule(
        "() where images are cropped as they are decoded: see "
        "dataset.crop_scale",
        lambda scale: not scale,
      ),
    )
  if not config.prune.train_dense:
    yield (
      "prune.rewind",
      Rule(
        "0it where prune.train_dense is False: there is no later update",
        lambda rewind: to_updates(rewind, batch_size=1, num_images=10**9) == 0,
      ),
    )
  if (config.prune.restart_from, config.prune.schedule) == (
    "trained",
    "continue",
  ):
    yield (
      "tasks",
      _answers_alone(
        "prune.restart_from is trained and prune.schedule is continue"
      ),
    )
  yield from _one_shot_rules(config)
  yield from _structure_rules(config)
  known = _rounds(rounds.last(config.prune))
  yield "retrain.rounds", known
  yield "export.rounds", known
  if config.transfer.protocols:
    yield "transfer.rounds", known
  yield "transfer.protocols", _protocols(tuple(config.transfer.targets))


def _one_shot_rules(config: ConfigDict) -> Iterator[tuple[str, Rule]]:
  """Yields the rules of densities, and of what is cut to them at once."""
  if config.prune.method != "one-shot":
    yield (
      "prune.densities",
      Rule("() where prune.method is rounds", lambda found: len(found) == 0),
    )
    return
  yield (
    "prune.densities",
    Rule(
      "distinct numbers between 0 and 1, at least one",
      lambda found: 0 < len(found) == len(set(found)),
    ),
  )
  yield "tasks", _answers_alone("prune.method is one-shot")
  yield (
    "transfer.protocols",
    Rule(
      "none that prunes by itself where prune.method is one-shot",
      lambda named: not any(_prunes(text) for text in named),
    ),
  )


def _structure_rules(config: ConfigDict) -> Iterator[tuple[str, Rule]]:
  """Yields the rules of what weights and channels can be pruned by."""
  prune = config.prune
  if prune.structure == "weights":
    words = "'magnitude' where prune.structure is weights"
    yield "prune.criterion", Rule(words, lambda name: name == "magnitude")
    words = "none of 'narrow' where prune.structure is weights"
    yield "retrain.inits", Rule(words, lambda inits: "narrow" not in inits)
    return
  where = "where prune.structure is channels"
  words = f"'global' {where}: each layer has its floor"
  yield "prune.scope", Rule(words, lambda scope: scope == "global")
  yield (
    "retrain.inits",
    Rule(
      f"none of 'adjusted' {where}: it is of single weights",
      lambda inits: "adjusted" not in inits,
    ),
  )
  yield (
    "transfer.protocols",
    Rule(
      f"none that prunes by itself {where}: it prunes weights",
      lambda named: not any(_prunes(text) for text in named),
    ),
  )
  if prune.criterion == "taylor":
    yield "tasks", _answers_alone("prune.criterion is taylor")


def _prunes(named: str) -> bool:
  """Returns whether a protocol of `transfer.protocols` prunes by itself."""
  return find(named.partition(":")[0]).every_round


def _answers_alone(where: str) -> Rule:
  """Returns the rule of tasks whose loss needs nothing of a training."""
  own = tuple(t for t, row in TASKS.items() if not row.answers_by_state)
  return Rule(
    f"some of {own} where {where}: the others answer by what a training "
    "carries along",
    lambda found: set(found) <= set(own),
  )


def _dataset_rules(dataset: ConfigDict) -> Iterator[tuple[str, Rule]]:
  """Yields the rules that depend on other fields of the data set."""
  yield (
    "dataset.padding",
    Rule(
      "at least 0 and below dataset.image_size",
      lambda n: 0 <= n < dataset.image_size,
    ),
  )
  for section in ("dataset", "views"):
    yield (
      f"{section}.crop_scale",
      Rule(
        "() or two shares of the area, 0 < least <= most <= 1",
        lambda scale: (
          len(scale) == 0 or (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1)
        ),
      ),
    )
  yield "dataset.mean", channels(dataset.channels)
  yield "dataset.std", channels(dataset.channels)


def _rounds(last: int) -> Rule:
  return Rule(
    f"distinct rounds from 0 to {last}, the last one",
    lambda rounds: all(r <= last for r in rounds),
  )


def _protocols(targets: Collection[str]) -> Rule:
  return Rule(
    "distinct texts `protocol:target` or `protocol:target:fraction`, of "
    f"{tuple(PROTOCOLS)}, {targets} and a number above 0, at most 1, of at "
    "most six digits",
    lambda named: (
      all(_is_protocol(text, targets) for text in named)
      and len({plan.parts(text) for text in named}) == len(named)
    ),
  )


def _is_protocol(text: str, targets: Collection[str]) -> bool:
  try:
    protocol, target, fraction = plan.parts(text)
  except ValueError:
    return False
  # Its folder is named after it.
  is_named = float(f"{fraction:g}") == fraction
  known = protocol in PROTOCOLS and target in targets
  return known and 0 < fraction <= 1 and is_named
