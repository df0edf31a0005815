"""Variants: overrides hold for all of them, and mistakes are named."""

import pytest
from helpers import short
from ml_collections import ConfigDict

from sslprune_jax.config import variants
from sslprune_jax.runtime.errors import ConfigError


def _two():
  config = short()
  for n in (1, 2):
    study = config.copy_and_resolve_references()
    study.prune.first_layers = n
    study.transfer.linear.train.duration = "3ep"
    variants.add(config, f"first_{n}", study)
  return config


def test_what_differs_is_kept_and_nothing_else():
  config = _two()
  assert config.variants.first_2.to_dict() == {
    "prune": {"first_layers": 2},
    "transfer": {"linear": {"train": {"duration": "3ep"}}},
  }
  found = variants.expand(config)
  assert list(found) == ["first_1", "first_2"]
  assert [s.prune.first_layers for s in found.values()] == [1, 2]
  assert not found["first_1"].variants
  assert config.prune.first_layers == 0, "the base was changed"


def test_an_override_holds_for_every_variant_that_does_not_set_the_field():
  config = _two()
  config.prune.rate = 0.5
  config.variants.first_1.prune.first_layers = 3
  found = variants.expand(config)
  assert [s.prune.rate for s in found.values()] == [0.5, 0.5]
  assert [s.prune.first_layers for s in found.values()] == [3, 2]


def test_without_variants_a_configuration_is_its_own_study():
  config = short()
  assert variants.expand(config) == {"": config}


@pytest.mark.parametrize(
  "name, changes, words",
  [
    ("a", {"prune": {"rte": 0.5}}, "config.variants.a: .*rte"),
    ("a", {"prune": {"rounds": "2"}}, "config.variants.a: .*rounds"),
    ("A b", {"seeds": (1,)}, "config.variants: found the name 'A b'"),
  ],
)
def test_mistakes_are_named(name, changes, words):
  config = short()
  with config.unlocked():
    config.variants[name] = ConfigDict(changes)
  with pytest.raises(ConfigError, match=words):
    variants.expand(config)
