"""Every configuration that a file of configs/ can give is a valid one."""

import importlib.util
import pathlib

import pytest

from sslprune_jax import recipes, validation
from sslprune_jax.config import ConfigError

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
SETS = ("digits", "fashion_mnist", "cifar10", "imagenet2012")
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
  plain = recipes.study("labels", "imagenet2012")
  assert plain.train.duration == "90ep" and images.train.duration == "200ep"
