"""Studies by the recipes of `recipe_tables`: a task, a data set, a reading.

`study(task, dataset)` is the whole configuration of one task on one data set;
what a file of `configs/` adds is its name and its documentation.
"""

import pathlib
import re
from fractions import Fraction

from ml_collections import ConfigDict

from sslprune_jax.config import durations
from sslprune_jax.config.base import base, recipe
from sslprune_jax.config.datasets import DATASETS
from sslprune_jax.config.datasets import REPORTED_ROUNDS as REPORTED_ROUNDS
from sslprune_jax.config.datasets import dataset as dataset_section
from sslprune_jax.config.recipe_tables import (
  ALEXNET,
  PLACES_SHARE,
  PROBE,
  PROBE_LENGTHS,
  PROBES_OF,
  SETTINGS,
)
from sslprune_jax.config.recipe_tables import RECIPES as RECIPES
from sslprune_jax.runtime.errors import ConfigError

# Sets with the recipes of another: its name, and how many times as many epochs
# make as many updates. Of the digits a half is 5/8 of four fifths.
_LIKE = {"digits_half": ("digits", Fraction(8, 5))}


def study(task: str, dataset: str, few: str | None = None) -> ConfigDict:
  """Returns the configuration of a task's study on a data set.

  Args:
    task: "labels", "rotnet", "exemplar", "npid", "s4l" or "deepcluster".
    dataset: "digits", "digits_half", "fashion_mnist", "cifar10" or
      "imagenet2012".
    few: "few_images", a tenth of the images of each class, or "few_classes",
      all images of a tenth of the classes: for "labels". Of ten classes, whose
      tenth has nothing to learn, it is a third of the images of three.

  Returns:
    A locked configuration; masks are retrained by the recipe of Labels.

  Raises:
    ConfigError: there is no such recipe.
  """
  sizes = {name: row.study for name, row in DATASETS.items() if row.study}
  if dataset not in sizes:
    raise ConfigError(
      f"configs/{task}.py:{dataset}: found {dataset!r} after the colon, "
      f"expected one of {tuple(sizes)}"
    )
  like, factor = _LIKE.get(dataset, (dataset, 1))
  if (task, like) not in RECIPES:
    raise ConfigError(
      f"recipes: found none of {task!r} on {dataset}, expected one of "
      f"{sorted(known for known, name in RECIPES if name == like)}"
    )
  size = sizes[dataset]
  config = base()
  config.name = "_".join(filter(None, (task, few, dataset)))
  config.seeds = tuple(range(size.seeds))
  config.tasks = (task,)
  config.dataset.update(dataset_section(dataset))
  config.model.name = size.network
  trained = RECIPES.get((few, like), RECIPES[task, like])
  for section, own in (
    (config.train, trained),
    (config.retrain.train, RECIPES["labels", like]),
  ):
    section.update(recipe(**own))
    section.duration = durations.stretch(section.duration, factor)
  config.prune.update(rewind=size.rewind, rounds=size.rounds)
  config.retrain.rounds = size.retrained
  if dataset == "imagenet2012":
    config.model.dtype = "bfloat16"  # Accelerators are made for it.
  if few == "few_classes" and dataset != "imagenet2012":
    config.labels.update(classes=0.3, images=1 / 3)
  elif few:
    config.labels[few.removeprefix("few_")] = 0.1
  config.update(SETTINGS.get((task, like), {}))
  return config


def alexnet(task: str) -> ConfigDict:
  """Returns the configuration of a task's study of AlexNet on ImageNet.

  Args:
    task: "labels", "rotnet" or "exemplar".
  """
  config = study(task, "imagenet2012")
  config.name += "_alexnet"
  config.model.name = "alexnet"
  config.train.update(recipe(**ALEXNET[task]))
  config.retrain.train.update(recipe(**ALEXNET["labels"]))
  return config


def set_probe(config: ConfigDict, length: str = "fair") -> None:
  """Sets the recipe of linear classifiers to the one of a network's reference.

  Args:
    config: configuration whose network is chosen; changed in place.
    length: code that their length is of: "fair", 140,000 updates on any target;
      or "vissl", 28 epochs, and 14 on Places205.

  Raises:
    ConfigError: there is no such length.
  """
  if length not in PROBE_LENGTHS:
    raise ConfigError(
      f"length of linear classifiers: found {length!r}, expected one of "
      f"{tuple(PROBE_LENGTHS)}"
    )
  config.transfer.linear.train.update(
    PROBE | PROBES_OF.get(config.model.name, {}) | PROBE_LENGTHS[length]
  )
  config.transfer.targets.places205.linear = PLACES_SHARE[length]


def brought(file: str, task: str) -> ConfigDict:
  """Returns the configuration of a study of a network that is there, on photos.

  It rewinds to the file; size, channels and normalisation of images are those
  of the network. Labels train the dense network too, or what is pruned would be
  compared with one that never saw a label.

  Args:
    file: checkpoint that `sslprune import` reads, or a ticket.
    task: "distil" or "labels".
  """
  config = study("distil", "folder")
  config.tasks = (task,)
  stem = pathlib.PurePath(file).name.partition(".")[0]
  stem = re.sub(r"\W+", "_", stem, flags=re.ASCII)
  config.name = stem.strip("_") or "checkpoint"
  config.start = file
  # Those of the file.
  config.model.name = ""
  config.dataset.update(image_size=0, channels=0, mean=(), std=())
  config.prune.update(rewind="0it", train_dense=task == "labels")
  config.retrain.rounds = ()
  judge_folder(config, "knn", "linear", "svm", "fidelity")
  config.transfer.update(held_out=0.2, batch_size=64)
  config.transfer.knn.neighbours = 10
  config.transfer.fidelity.neighbours = 4  # Of fifty photos, ten are tested.
  return config


def judge_folder(config: ConfigDict, *protocols: str) -> None:
  """Sets judges of features on photos: those of the study, unless others are.

  Args:
    config: configuration of a study on a folder; changed in place.
    *protocols: names of the judges.
  """
  config.transfer.protocols = tuple(f"{name}:folder" for name in protocols)
  config.transfer.knn.neighbours = 20
  config.transfer.linear.train.update(
    duration="100ep",
    batch_size=64,
    learning_rate=0.1,
    milestones=("30ep", "60ep", "90ep"),
  )
  same = config.dataset.get_oneway_ref("data_dir")
  config.transfer.targets.folder.data_dir = same


def rewinds(
  config: ConfigDict, reference: ConfigDict, num_images: int
) -> dict[str, str]:
  """Returns the rewind point of a study by each criterion (paper, table 1).

  Two studies of different length and batch can rewind to the same number of
  epochs, of samples or of updates, or to the same share of their training.

  Args:
    config: configuration of the study.
    reference: study whose rewind point, in epochs or samples, is held.
    num_images: images that the reference is trained on.

  Returns:
    Durations for `config.prune.rewind`: `epochs`, `samples`, `updates`,
    `share`.
  """
  trained = reference.train

  def updates(duration: str) -> int:
    return durations.to_updates(
      duration, batch_size=trained.batch_size, num_images=num_images
    )

  rewind = updates(reference.prune.rewind)
  samples = rewind * trained.batch_size
  # Of an epoch that is not cut to whole batches, as the paper counts.
  epochs = Fraction(samples, num_images)
  share = Fraction(rewind, updates(trained.duration))
  return {
    "epochs": f"{float(round(epochs, 2)):g}ep",
    "samples": f"{samples}samples",
    "updates": f"{rewind}it",
    "share": durations.stretch(config.train.duration, share),
  }
