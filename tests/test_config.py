"""The configuration: rows, rules, and what a user's package can register."""

import pytest

from sslprune_jax import config as config_lib
from sslprune_jax.config import datasets, networks, tasks
from sslprune_jax.config.registry import Registry, Row
from sslprune_jax.config.rules import Field, whole
from sslprune_jax.runtime.errors import ConfigError


def _leaves(values, prefix=""):
  for name, value in values.items():
    if isinstance(value, dict):
      yield from _leaves(value, f"{prefix}{name}.")
    else:
      yield f"{prefix}{name}", value


def test_every_field_has_a_row_whose_default_is_that_of_the_configuration():
  listed = config_lib.every_field()
  found = dict(_leaves(config_lib.base().to_dict()))
  assert {name: field.default for name, field in listed.items()} == found
  assert all(field.sentence for field in listed.values())


def test_every_default_is_allowed_by_its_own_rule():
  for name, field in config_lib.every_field().items():
    if field.rule:
      field.rule.check(name, field.default)


def test_a_value_of_another_type_is_refused_and_no_traceback():
  with pytest.raises(ConfigError, match="x: found 'a', expected a whole num"):
    whole(1).check("x", "a")
  with pytest.raises(ConfigError, match="x: found True, expected a whole"):
    whole(0).check("x", True)
  rule = config_lib.every_field()["train.learning_rate"].rule
  for wrong in ("fast", None, float("nan"), -1.0):
    with pytest.raises(ConfigError, match="config.train.learning_rate: found"):
      rule.check("train.learning_rate", wrong)


@pytest.fixture
def restored():
  """Takes out of the registries what a test puts into them."""
  registries = (
    tasks.TASKS._rows, networks.NETWORKS._rows, datasets.DATASETS
  )  # fmt: skip
  before = [dict(rows) for rows in registries]
  yield
  for rows, old in zip(registries, before, strict=True):
    rows.clear()
    rows.update(old)


def test_a_registered_task_has_its_section_and_its_rules(restored):
  row = tasks.TaskRow(
    "jigsaw",
    "my_package.jigsaw:Jigsaw",
    "Jigsaw",
    "the permutation",
    "black",
    {"tiles": Field(9, "tiles of an image", whole(4))},
  )
  tasks.register(row)
  assert config_lib.base().jigsaw.tiles == 9
  assert "jigsaw.tiles" in config_lib.every_field()
  with pytest.raises(ConfigError, match="cannot load my_package.jigsaw:Jigsaw"):
    tasks.TASKS.load("jigsaw")


def test_a_name_belongs_to_one_row(restored):
  networks.register("mine", "my_package.nets:Mine")
  networks.register("mine", "my_package.nets:Mine")  # Imported twice.
  with pytest.raises(ConfigError, match="'mine': found other:Mine under this"):
    networks.register("mine", "other:Mine")
  with pytest.raises(ConfigError, match="convnet.*expected another name"):
    networks.register("convnet", "other:Mine")
  with pytest.raises(ConfigError, match="found the target 'Mine', expected"):
    networks.register("yours", "Mine")
  row = datasets.DatasetRow("leaves", {"image_size": 48})
  datasets.register(row)
  assert config_lib.dataset("leaves").image_size == 48
  assert config_lib.base().transfer.targets.leaves.name == "leaves"
  with pytest.raises(ConfigError, match="'trees': found the fields .'size'"):
    datasets.register(datasets.DatasetRow("trees", {"size": 3}))


def test_an_unknown_name_is_refused_and_what_is_there_is_named():
  registry = Registry("network", (Row("a", "math:pi"),))
  assert registry.load("a") > 3
  with pytest.raises(ConfigError, match="network: found 'b', expected one of"):
    registry.load("b")
