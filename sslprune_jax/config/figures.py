"""What the paper's figures share as configurations: `configs/paper/`."""

import pathlib

from ml_collections import ConfigDict

from sslprune_jax.config import files, recipes, variants
from sslprune_jax.config.recipe_tables import FIGURES_ON_FASHION
from sslprune_jax.runtime.errors import ConfigError

DATASETS = ("imagenet2012", "cifar10", "fashion_mnist", "digits_half", "digits")
PAPER = DATASETS[:2]  # with its recipes and networks
# Seeds of the small sets' studies as they are configured: a pilot, which says
# how much claims deviate. What counts is judged on the seeds after them.
PILOT = (0, 1, 2)
# How many of those there are when verdicts are formed, fixed before any was
# run: two looks, the second twice as large, as `report.inference.LEVEL` has it.
LOOKS = {"digits_half": (12, 24), "fashion_mnist": (5, 10)}
# Sets of which there is a pilot alone -> the set that is judged in its place.
JUDGED_ON = {"digits": "digits_half"}

# Share of the labels that masks are retrained on: of the digits about 145
# images, in either split.
_FEW = {"fashion_mnist": 0.1, "digits_half": 0.16, "digits": 0.1}
# Sets of digits -> length of a training that drives weights to zero.
_DIGITS = {"digits_half": "64ep", "digits": "40ep"}


def study(task: str, dataset: str, few: str | None = None) -> ConfigDict:
  """Returns the study of a task as figures have it.

  For the paper's data sets that is `recipes.study`. The small ones are ours: a
  study of 12 rounds and three seeds that two CPU cores finish in minutes. Masks
  are retrained on few of the labels there, as with all of them any mask of
  these easy sets reaches the dense network.

  Args:
    task: name of the task; see `recipes.study`.
    dataset: one of `DATASETS`.
    few: kind of few labels; see `recipes.study`.
  """
  config = recipes.study(task, dataset, few)
  if dataset in PAPER:
    return config
  config.seeds = PILOT
  config.prune.rounds = 12
  config.retrain.rounds = (0, 3, 6, 9, 12)
  config.retrain.fraction = _FEW[dataset]
  if dataset in _DIGITS:
    config.retrain.train.update(batch_size=32, duration="30ep")
  else:
    config.dataset.train = "train[:10000]"
    config.prune.rewind = "50it"
    config.retrain.train.update(batch_size=64, duration="80ep")
    if not few:
      config.train.update(FIGURES_ON_FASHION[task])
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
  if config.dataset.name in _DIGITS:  # Weight decay needs time.
    config.train.duration = _DIGITS[config.dataset.name]
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
      f"configs/paper/{name or '*'}.py:{dataset}: found {dataset!r} after the "
      f"colon, expected one of {DATASETS}"
    )
  config = study("labels", dataset)
  config.figure, config.name = name, f"paper/{name}_{dataset}"
  return config


def every_figure(dataset: str, *names: str) -> ConfigDict:
  """Returns figures as one configuration, whose variants are theirs.

  Args:
    dataset: one of `DATASETS`.
    *names: names of the figures, "fig3_masks"; all by default.

  Raises:
    ConfigError: there is no such figure, or none for this data set.
  """
  config = figure("", dataset)
  config.name = f"paper/{dataset}"
  paths = map(pathlib.PurePath, files.own_configs())
  known = [path.stem for path in paths if path.parent.name == "paper"]
  for name in names or known:
    if name not in known:
      raise ConfigError(
        f"configs/figures.py: found the figure {name!r}, expected of {known}"
      )
    own = files.load(f"paper/{name}:{dataset}")
    for variant, study in variants.expand(own).items():
      variants.add(config, f"{name}/{variant}", study)
      # The study that it is by itself, so that their seeds are joined.
      alone = {"name": study.name, "figure": study.figure}
      with config.unlocked():
        config.variants[f"{name}/{variant}"].update(alone)
  return config
