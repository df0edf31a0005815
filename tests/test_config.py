"""The configuration: rows, rules, and what a user's package can register."""

import numpy as np
import pytest

from sslprune_jax import config as config_lib
from sslprune_jax.config import (
  datasets,
  networks,
  recipes,
  rounds,
  tasks,
  variants,
)
from sslprune_jax.config.registry import Registry, Row
from sslprune_jax.config.rules import Field, whole
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import plan, validation


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


def test_rounds_of_a_recipe_that_are_not_pruned_are_left_out_and_said():
  config = recipes.study("rotnet", "cifar10")
  config.prune.rounds = 3
  lines = rounds.leave_out(config, ["prune.rounds"])
  assert config.retrain.rounds == (0, 1, 3)
  assert config.transfer.rounds == (0, 3)
  assert lines == [
    "config.retrain.rounds: the rounds 5, 7, 9, 10, 12, 14, 16, 18, 20, 22, "
    "25, 30 of the recipe are left out, as config.prune.rounds is 3"
  ]
  validation.validate(config)


def test_rounds_of_transfers_are_left_out_where_there_are_any():
  config = recipes.study("rotnet", "digits")
  config.update({"prune": {"rounds": 1}, "retrain": {"rounds": (0,)}})
  assert rounds.leave_out(config, ["prune.rounds"]) == []
  config.transfer.protocols = ("knn:digits",)
  (line,) = rounds.leave_out(config, ["prune.rounds"])
  assert line.startswith("config.transfer.rounds: the rounds 3 of the recipe")
  assert config.transfer.rounds == (0,)


def test_rounds_of_a_number_that_is_none_are_left_to_validation():
  config = recipes.study("rotnet", "digits")
  with config.ignore_type():
    config.prune.rounds = "three"
  assert rounds.leave_out(config, []) == []
  with pytest.raises(ConfigError, match="config.prune.rounds: found 'three'"):
    validation.validate(config)


def test_rounds_that_the_user_names_are_refused_as_they_are():
  config = recipes.study("rotnet", "cifar10")
  config.update({"prune": {"rounds": 3}, "retrain": {"rounds": (0, 5)}})
  assert rounds.leave_out(config, ["prune.rounds", "retrain.rounds"]) == []
  with pytest.raises(ConfigError, match="config.retrain.rounds: .*0 to 3"):
    validation.validate(config)


def test_rounds_of_variants_are_left_out_by_what_each_prunes():
  config = recipes.study("rotnet", "digits")
  config.update({"prune": {"rounds": 8}, "retrain": {"rounds": (0, 4, 8)}})
  shorter, longer = (config.copy_and_resolve_references() for _ in range(2))
  shorter.prune.rounds = 4
  longer.update({"prune": {"rounds": 9}, "retrain": {"rounds": (0, 9)}})
  variants.add(config, "shorter", shorter)
  variants.add(config, "longer", longer)
  config.prune.rounds = 6
  lines = rounds.leave_out(config, ["prune.rounds"])
  found = variants.expand(config)
  assert found["shorter"].retrain.rounds == (0, 4)
  assert found["longer"].retrain.rounds == (0, 9)
  assert [line.split(":")[0] for line in lines] == ["config.retrain.rounds"]
  config.retrain.rounds = (0, 4, 8)
  with config.variants.unlocked():
    del config.variants.longer.retrain
  lines = rounds.leave_out(config, ["prune.rounds"])
  found = variants.expand(config)
  assert config.retrain.rounds == found["shorter"].retrain.rounds == (0, 4)
  assert found["longer"].retrain.rounds == (0, 4, 8)  # All that it reaches.
  assert [line.split(":")[0] for line in lines] == ["config.retrain.rounds"]
  config.variants.longer.retrain.rounds = (0, 9)  # As before.
  config.variants.longer.prune.rounds = 5
  lines = rounds.leave_out(config, ["variants.longer.prune.rounds"])
  assert lines == [
    "config.variants.longer.retrain.rounds: the rounds 9 of the recipe are "
    "left out, as config.prune.rounds is 5"
  ]
  for study in variants.expand(config).values():
    validation.validate(study)


_HOSTILE = (
  *(float("nan"), float("inf"), -float("inf"), 1e20, -1, -0.5, 0, 1, 0.5),
  *(10**30, -(10**30), 2**31, 2**32, 10_000_000, True, False, None, 1j, b"x"),
  *(
    "",
    "x",
    "/../../x",
    "a\nb",
    "\x00",
    "nan",
    "1ep",
    "-1it",
    "9" * 400 + "ep",
  ),
  *(
    "9" * 400 + "ep",
    "99999999999it",
    "svm:digits",
    "svm:digits:nan",
    "svm:digits:0",
  ),
  *((), (0,), (0, 0), (-1,), (True,), (float("nan"),), (10**30,), (1.5,)),
  *(("x",), ("x", "x"), ("",), (None,), ((),), (b"x",), (0, "x"), (0.1,) * 4),
  *(("svm",), ("a:b:c:d",), (5,), (3, 2, 1), [0], {"a": 1}, object()),
)


def test_no_value_of_a_field_ends_in_a_traceback():
  rng = np.random.default_rng(0)
  names = list(config_lib.every_field())
  refused, whole = 0, recipes.study("rotnet", "digits")
  for _ in range(1000):
    config = whole.copy_and_resolve_references()
    for name in rng.choice(names, size=rng.integers(1, 4)):
      section, _, last = name.rpartition(".")
      with config.ignore_type(), config.unlocked():
        config_lib.lookup(config, section)[last] = rng.choice(
          np.array(_HOSTILE, object)
        )
    try:
      validation.validate(config)
      assert len(plan.plan(config)) < 10**5
    except ConfigError as error:
      assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000
      refused += 1
  assert refused > 800  # Some are allowed: an empty tuple of milestones.


def test_every_value_that_is_no_value_is_refused_everywhere():
  for name, field in config_lib.every_field().items():
    for value in (float("nan"), None, 1j, b"x", object(), {"a": 1}, -(10**30)):
      with pytest.raises(ConfigError, match=f"config.{name}: found"):
        field.rule.check(name, value)
    with pytest.raises(ConfigError, match=f"config.{name}: found"):
      field.rule.check(name, (float("nan"), None))
