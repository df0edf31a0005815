"""Every configuration that a file of configs/ can give is a valid one."""

import importlib.util
import pathlib

import pytest

from sslprune_jax.config import figures, recipes, variants
from sslprune_jax.config import files as config_files
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import validation
from sslprune_jax.training.recipe import stretch_recipe

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
SETS = ("digits", "fashion_mnist", "digits_half", "cifar10", "imagenet2012")
FEW = ("few_images", "few_classes", "few_images,digits", "digits,few_classes")


def _get_config(name):
  spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config


@pytest.mark.parametrize(
  "task", ["labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster"]
)
def test_every_task_has_a_recipe_for_every_set(task):
  for name in SETS + (FEW if task == "labels" else ()):
    config = _get_config(task)(name)
    validation.validate(config)
    assert config.tasks == (task,)
  with pytest.raises(ConfigError, match=f"{task}.py:svhn: found 'svhn'"):
    _get_config(task)("svhn")


_FAIR = ("40000it", "80000it", "120000it")
TRANSFERS = ("digits", "fashion_mnist", "imagenet2012", "places205")
PRESETS = {
  "channels": ("labels", "rotnet", "exemplar"),
  "image_size": (),
  "quickstart": (),
  "folder": ("labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster"),
  "labels": SETS + FEW,
  "transfer": (*TRANSFERS, "few_labels"),
}


@pytest.mark.parametrize("name", sorted(config_files.own_configs()))
def test_every_file_loads_by_its_name_with_every_preset(name):
  default = figures.DATASETS if name.startswith("paper/") else SETS
  for preset in PRESETS.get(name, default):
    config = config_files.load(f"{name}:{preset}")
    assert config.is_locked
    assert all(study.name for study in variants.expand(config).values())
  assert config_files.load(name).name  # What it is without a colon.


def test_what_configuration_files_import_is_there():
  scope = {}
  exec(
    "from sslprune_jax import clustering, paper, recipes, variants\n"
    "from sslprune_jax.config import SVM_COSTS, ConfigError\n"
    "from sslprune_jax.config import base, dataset, recipe\n",
    scope,
  )
  assert scope["paper"] is figures and scope["recipes"] is recipes
  assert scope["variants"] is variants and callable(scope["clustering"].kmeans)
  assert issubclass(scope["ConfigError"], ValueError)
  assert len(scope["SVM_COSTS"]) > 1
  config = scope["base"]()
  config.dataset.update(scope["dataset"]("digits"))
  config.train.update(scope["recipe"](duration="1ep"))
  validation.validate(config)
  names = ("study", "alexnet", "rewinds", "RECIPES", "REPORTED_ROUNDS")
  assert all(hasattr(scope["recipes"], name) for name in names)


@pytest.mark.parametrize(
  "name, target, duration, milestones",
  [
    ("imagenet2012", "imagenet2012", "140000it", _FAIR),
    ("places205", "places205", "140000it", _FAIR),
    ("imagenet2012,vissl", "imagenet2012", "28ep", ("8ep", "16ep", "24ep")),
    ("places205,vissl", "places205", "14ep", ("4ep", "8ep", "12ep")),
  ],
)
def test_a_linear_classifier_is_trained_as_long_as_goyal_et_al_do(
  name, target, duration, milestones
):
  config = _get_config("transfer")(name)
  found = stretch_recipe(
    config, "transfer.linear.train", config.transfer.targets[target].linear
  ).transfer.linear.train
  assert (found.duration, found.milestones) == (duration, milestones)


def test_the_quickstart_is_valid():
  validation.validate(_get_config("quickstart")())


def test_few_labels_are_those_of_the_paper():
  # Supplement 6.4: 10 % of the images, 10 % of the classes.
  images = _get_config("labels")("few_images")
  classes = _get_config("labels")("few_classes")
  assert images.dataset.name == classes.dataset.name == "imagenet2012"
  assert (images.labels.images, images.labels.classes) == (0.1, 1.0)
  assert (classes.labels.images, classes.labels.classes) == (1.0, 0.1)
  assert (images.train.learning_rate, images.train.weight_decay) == (0.1, 1e-3)
  assert classes.train.learning_rate == 0.3
  assert classes.train.weight_decay == 3e-4
  ten = _get_config("labels")("few_classes,cifar10")
  assert (ten.labels.classes, ten.labels.images) == (0.3, 1 / 3)
  plain = recipes.study("labels", "imagenet2012")
  assert plain.train.duration == "90ep" and images.train.duration == "200ep"


def test_transfer_is_judged_by_the_recipes_of_the_paper():
  configs = {
    name: _get_config("transfer")(name)
    for name in (*SETS[:2], "imagenet2012", "places205", "few_labels")
  }
  for config in configs.values():
    validation.validate(config)
    assert config.transfer.protocols
  linear = configs["imagenet2012"].transfer.linear.train
  assert (linear.learning_rate, linear.nesterov) == (0.01, True)
  assert (linear.batch_size, linear.weight_decay) == (256, 1e-4)
  alexnet = recipes.alexnet("rotnet")
  recipes.set_probe(alexnet)
  linear = alexnet.transfer.linear.train
  assert (linear.weight_decay, linear.nesterov) == (5e-4, False)
  with pytest.raises(ConfigError, match="found 'long', .* one of .'fair'"):
    recipes.set_probe(alexnet, "long")
  tuned = configs["imagenet2012"].transfer.finetune.train
  assert (tuned.duration, tuned.learning_rate) == ("90ep", 0.01)
  assert tuned.milestones == ("50ep", "65ep", "80ep")
  assert (tuned.batch_size, tuned.weight_decay) == (128, 1e-6)
  assert tuned.nesterov
  voc = configs["imagenet2012"].transfer.targets.voc2007
  assert (voc.name, voc.train, voc.test) == (
    "voc/2007",
    "train+validation",
    "test",
  )
  with pytest.raises(ConfigError, match="transfer.py:svhn: found 'svhn' after"):
    _get_config("transfer")("svhn")
