"""What the paper's figures share as configurations: `configs/paper/`."""

from ml_collections import ConfigDict

from sslprune_jax.config import recipes
from sslprune_jax.config.recipe_tables import FIGURES_ON_FASHION
from sslprune_jax.runtime.errors import ConfigError

DATASETS = ("imagenet2012", "cifar10", "fashion_mnist", "digits")
PAPER = DATASETS[:2]  # with its recipes and networks


def study(task: str, dataset: str, few: str | None = None) -> ConfigDict:
  """Returns the study of a task as figures have it.

  For the paper's data sets that is `recipes.study`. The small ones are ours: a
  study of 12 rounds and three seeds that two CPU cores finish in minutes. Masks
  are retrained on a tenth of the labels there, as with all of them any mask of
  these easy sets reaches the dense network.

  Args:
    task: name of the task; see `recipes.study`.
    dataset: one of `DATASETS`.
    few: kind of few labels; see `recipes.study`.
  """
  config = recipes.study(task, dataset, few)
  if dataset in PAPER:
    return config
  config.seeds = (0, 1, 2)
  config.prune.rounds = 12
  config.retrain.rounds = (0, 3, 6, 9, 12)
  config.retrain.fraction = 0.1
  if dataset == "digits":
    config.retrain.train.update(batch_size=32, duration="30ep")
  else:
    config.dataset.train = "train[:10000]"
    config.prune.rewind = "50it"
    config.retrain.train.update(batch_size=64, duration="80ep")
    if not few:
      config.train.update(FIGURES_ON_FASHION[task])
  if few == "few_classes":
    # A tenth of ten classes is one. As many images as a tenth has, of three.
    config.labels.update(classes=0.3, images=1 / 3)
  return config


def other_network(task: str, dataset: str) -> ConfigDict:
  """Returns the study of a task with the network of the paper's supplement.

  AlexNet on ImageNet, by its own recipes; VGG-19 elsewhere.

  Args:
    task: "labels", "rotnet" or "exemplar".
    dataset: one of `DATASETS`.
  """
  if dataset == "imagenet2012":
    return recipes.alexnet(task)
  config = study(task, dataset)
  config.model.name = "vgg19"
  narrow(config, "vgg19", width=0.125, size=16)
  return config


def natural_sparsity(config: ConfigDict, task: str) -> ConfigDict:
  """Returns a study as figures 6 and 10 have it: long, with both controls.

  Args:
    config: configuration of the study; changed in place.
    task: task that it trains.
  """
  if config.dataset.name == "digits":  # Weight decay needs time.
    config.train.duration = "40ep"
    config.prune.rounds = 6
    config.retrain.rounds = (0, 2, 4, 6)
  config.retrain.inits = ("rewind", "reinit")
  if task == "labels":
    config.retrain.inits += ("random", "adjusted")
  return config


def narrow(config: ConfigDict, model: str, width: float, size: int) -> None:
  """Gives a small set's study a narrow network of the paper's, and 9 rounds.

  Args:
    config: changed in place; nothing is where the set is the paper's.
    model: its name.
    width: factor of its channels, such that two CPU cores finish in minutes.
    size: the least side of an image that it takes; smaller ones are enlarged.
  """
  if config.dataset.name in PAPER:
    return
  config.model.update(name=model, width=width)
  if config.dataset.image_size < size:
    config.dataset.update(image_size=size, padding=size // 8)
  config.prune.rounds = 9
  config.retrain.rounds = (0, 3, 6, 9)


def figure(name: str, dataset: str) -> ConfigDict:
  """Returns what the variants of a figure differ from: the study of Labels.

  Args:
    name: name of the figure and of its file: "fig3_masks".
    dataset: what stands after the colon.

  Raises:
    ConfigError: the figure is not there for this data set.
  """
  if dataset not in DATASETS:
    raise ConfigError(
      f"configs/paper/{name}.py:{dataset}: found {dataset!r} after the colon, "
      f"expected one of {DATASETS}"
    )
  config = study("labels", dataset)
  config.figure, config.name = name, f"paper/{name}_{dataset}"
  return config
