"""Every recipe of a source, resolved, is that source's: updates and rates."""

import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import config as config_lib
from sslprune_jax import tasks
from sslprune_jax.config import recipes
from sslprune_jax.training.recipe import make_recipe

IMAGES = {"imagenet2012": 1_281_167, "cifar10": 50_000}
CLASSES = {"imagenet2012": 1000, "cifar10": 10}


def _steps(rate, *counts):
  """Returns rates that fall to a tenth after so many of ten places each."""
  return [rate * 0.1**i for i, count in enumerate(counts) for _ in range(count)]


def _cosine(rate):
  return [rate * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(10)]


def _warm(rates, warmup):
  return [rates[0] / warmup, *rates[1:]]


# task (or few labels, or network), set -> rows an update, updates an epoch, k,
# updates in all, the rate at 0, 10, ..., 90 % of them.
TABLE = {
  # The paper's supplement 6.4, and its 3,840,000 samples and 1 epoch.
  ("labels", "imagenet2012"): (
    *(1536, 834, 2500, 75_060),
    _steps(0.1, 6, 2, 1, 1),
  ),
  ("few_images", "imagenet2012"): (
    *(768, 166, 5000, 33_200),
    _warm(_steps(0.1, 7, 1, 1, 1), 830),
  ),
  ("few_classes", "imagenet2012"): (
    *(768, 166, 5000, 33_200),
    _warm(_steps(0.3, 7, 1, 1, 1), 830),
  ),
  # One angle an image, as in the author's own code: the paper's batch is rows.
  ("rotnet", "imagenet2012"): (
    *(1536, 834, 2500, 75_060),
    _warm(_steps(1.0, 6, 2, 1, 1), 4170),
  ),
  # An image is counted once, of its two views.
  ("exemplar", "imagenet2012"): (
    *(3072, 834, 2500, 33_360),
    _steps(0.3, 5, 3, 2),
  ),
  ("npid", "imagenet2012"): (
    *(1024, 1251, 3750, 187_650),
    _cosine(0.03),
  ),
  # 256 labelled and 256 unlabelled images, at four angles each; 200 epochs of
  # the 128,000 labelled ones (Zhai et al.'s code).
  ("s4l", "imagenet2012"): (
    *(2048, 5004, 1875, 100_000),
    _warm(_steps(0.1, 7, 1, 1, 1), 2500),
  ),
  # Caron et al. 2018: 200 epochs at a constant rate.
  ("deepcluster", "imagenet2012"): (
    *(256, 5004, 15_000, 1_000_800),
    _steps(0.05, 10),
  ),
  ("alexnet labels", "imagenet2012"): (
    *(4096, 312, 938, 28_080),
    _steps(0.4, 4, 3, 3),
  ),
  ("alexnet rotnet", "imagenet2012"): (
    *(8192, 156, 469, 14_040),
    _warm(_steps(0.5, 4, 3, 3), 312),
  ),
  ("alexnet exemplar", "imagenet2012"): (
    *(8192, 312, 938, 9360),
    _steps(0.1, 7, 3),
  ),
  ("labels", "cifar10"): (
    *(512, 97, 97, 15_520),
    _steps(1e-3, 5, 3, 2),
  ),
  ("rotnet", "cifar10"): (
    *(512, 97, 97, 15_520),
    _steps(1e-3, 5, 3, 2),
  ),
  ("exemplar", "cifar10"): (
    *(1024, 97, 97, 17_460),
    _steps(3e-4, 7, 3),
  ),
  # Wu et al.'s code: batch 128, 200 epochs, drops at 120 and 160.
  ("npid", "cifar10"): (
    *(128, 390, 390, 78_000),
    _steps(0.03, 6, 2, 2),
  ),
}


def _study(name, dataset):
  if name.startswith("alexnet "):
    return recipes.alexnet(name.removeprefix("alexnet "))
  if name.startswith("few_"):
    return recipes.study("labels", dataset, name)
  return recipes.study(name, dataset)


def _task(config, num_classes):
  source = types.SimpleNamespace(
    name="any",
    num_classes=num_classes,
    labels=np.arange(num_classes),
    multi_label=False,
    crops=False,
  )
  return tasks.make(config, config.tasks[0], source)


@pytest.mark.parametrize("cell", TABLE, ids=" ".join)
def test_a_recipe_takes_the_updates_and_the_rates_of_its_source(cell):
  rows, of_epoch, rewind, length, rates = TABLE[cell]
  name, dataset = cell
  config = _study(name, dataset)
  images = IMAGES[dataset] // (10 if name.startswith("few_") else 1)
  task = _task(config, CLASSES[dataset])
  of_training = {"num_images": images, "samples": task.samples}
  batch_size = config.train.batch_size
  recipe = make_recipe(config, "train", **of_training)
  assert batch_size * task.rows == rows
  assert images // batch_size == of_epoch
  assert recipe.length == length
  assert rewind == config_lib.updates(
    config, "prune.rewind", batch_size=batch_size, **of_training
  )
  places = jnp.asarray([length * i // 10 for i in range(10)])
  found = jax.vmap(recipe.schedule)(places)
  assert found.tolist() == pytest.approx(rates, rel=1e-4)


def test_a_batch_of_128_at_four_angles_is_the_papers_512_rows_too():
  config = recipes.study("rotnet", "cifar10")
  config.train.batch_size, config.rotnet.copies = 128, 4
  task = _task(config, 10)
  assert config.train.batch_size * task.rows == 512
  assert make_recipe(config, "train", 50_000).length == 62_400


def test_npid_on_cifar10_is_that_of_its_authors():
  config = recipes.study("npid", "cifar10")
  assert config.train.weight_decay == 5e-4
  assert config.npid.objective == "softmax"
  assert (config.npid.temperature, config.npid.momentum) == (0.1, 0.5)
  assert not config.dataset.flip
  assert config.views.crop_scale == (0.2, 1.0) and config.views.grey == 0.2
  assert recipes.study("npid", "imagenet2012").dataset.crop_scale == (0.2, 1.0)
