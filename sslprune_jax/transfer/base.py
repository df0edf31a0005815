"""Protocols on frozen features: a linear classifier, SVMs, neighbours."""

import abc
import math

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import data, models
from sslprune_jax.features import extraction
from sslprune_jax.features.extraction import Features
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import devices, files, rng
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.tasks import setup
from sslprune_jax.training.loop import DivergedError
from sslprune_jax.training.metrics import MetricLines
from sslprune_jax.training.recipe import make_recipe
from sslprune_jax.transfer import knn, linear, precision, svm
from sslprune_jax.transfer.judgement import Judgement
from sslprune_jax.transfer.target import Target, to_multi_hot

LINEAR = "transfer.linear.train"  # section of its recipe
_SHARE_OF_MEMORY = 0.7  # of a device that features may take


class Probe(abc.ABC):
  """Judges a trunk by features that are extracted once, in evaluation mode.

  Args:
    config: validated.
    target: the images.
    fraction: of the training images of each class.
    layer: that is read.

  Raises:
    ConfigError: the layer does not exist, or the target does not fit.
  """

  def __init__(
    self, config: ConfigDict, target: Target, fraction: float, layer: str
  ):
    self.config, self.target = config, target
    self.fraction, self.layer = fraction, layer
    network = setup.make_network(config.model, 1)

    def traced():
      images = jnp.zeros((1, *target.train.image_shape))
      outputs, variables = network.init_with_output(
        jax.random.key(0), images, train=False
      )
      return models.readout(outputs, layer), variables["params"]["head"]

    try:
      read, head = jax.eval_shape(traced)
    except ValueError as error:
      raise ConfigError(f"config.transfer.layers: {error}") from None
    self._check_memory(read.shape[-1])
    # One head for all tickets, whatever was on top of them.
    self._head = jax.tree.map(lambda of: np.zeros(of.shape, of.dtype), head)
    normalise = setup.make_normalise(target.dataset)
    self._step = extraction.make_step(network, normalise, layer)
    if config.transfer.batch_size % jax.device_count():
      raise ConfigError(
        f"config.transfer.batch_size: found {config.transfer.batch_size}, "
        f"expected a multiple of the {jax.device_count()} devices"
      )
    self.check(target.images(fraction, config.seeds[0]).train)

  def _check_memory(self, width: int) -> None:
    """Refuses features that the devices cannot hold."""
    found = 4 * width * self.num_images() / jax.device_count()
    stats = jax.local_devices()[0].memory_stats() or {}
    limit = _SHARE_OF_MEMORY * stats.get("bytes_limit", math.inf)
    if found > limit:
      raise ConfigError(
        f"config.transfer.layers: found {self.layer}, whose {width:,} numbers "
        f"an image of {self.target.name} take {found / 1e9:.1f} GB of each "
        f"device, expected at most {limit / 1e9:.1f} GB; "
        "for linear, config.transfer.linear.augment=True keeps none"
      )

  def check(self, train: data.Source) -> None:
    """Refuses a target that the protocol does not fit."""
    if self.target.train.multi_label:
      raise ConfigError(
        f"config.transfer.protocols: found a target with several labels an "
        f"image, {self.target.name}, expected one with one label; svm and "
        "finetune take several"
      )

  def num_images(self) -> int:
    """Counts the images that go through the network."""
    images = self.target.images(self.fraction, self.config.seeds[0])
    return len(images.train) + len(images.test)

  def run(
    self, ticket: Ticket, directory: epath.Path, seed: int, progress: Progress
  ) -> Judgement:
    """Judges a ticket's trunk.

    Args:
      ticket: the network.
      directory: of what is written beside the result.
      seed: of the subset, and of the order of training.
      progress: the study's.
    """
    images = self.target.images(self.fraction, seed)
    variables = devices.replicate(
      {
        "params": {"trunk": ticket.params["trunk"], "head": self._head},
        "batch_stats": {"trunk": ticket.batch_stats["trunk"]},
      }
    )
    found = []
    for source in (images.train, images.test):
      found.append(
        extraction.extract(
          self._step,
          variables,
          source,
          self.config.transfer.batch_size,
          with_labels=True,
          on_images=lambda count: progress.advance(count, {}),
        )
      )
      self.target.check_labelled(source, found[-1].labels)
    scores, settings = self.judge(*found, directory, seed)
    return Judgement(scores, settings, ticket.masks, ticket.params)

  @abc.abstractmethod
  def judge(
    self, train: Features, test: Features, directory: epath.Path, seed: int
  ) -> tuple[dict, dict]:
    """Returns the scores, and the settings that they came about by."""


class Linear(Probe):
  """A linear classifier by SGD."""

  def check(self, train: data.Source) -> None:
    """Refuses a recipe that does not fit the images."""
    super().check(train)
    self._recipe = make_recipe(self.config, LINEAR, len(train))
    self._epoch = linear.make_epoch(
      self._recipe.optimizer, self._recipe.schedule
    )

  def judge(self, train, test, directory, seed):
    """Trains on the features, and tests with the last weights."""
    batch_size, length = self._recipe.batch_size, self._recipe.length
    per_epoch = len(train.place) // batch_size
    everywhere = devices.replicated()
    labels = train.labels_by_row().reshape(-1)
    place, labels = jax.device_put(
      (train.place.astype(np.int32), labels), everywhere
    )
    classifier = linear.create(train.rows, place, self.target.num_classes)
    opt_state = self._recipe.optimizer.init(classifier.params)
    lines = MetricLines(
      directory / "metrics.jsonl",
      every=1,
      updates_per_epoch=per_epoch,
      start=0,
    )
    for epoch, first in enumerate(range(0, length, per_epoch)):
      order = rng.permutation(seed, epoch, len(train.place))
      count = min(per_epoch, length - first)
      index = train.place[order[: count * batch_size]]
      classifier, opt_state, metrics = self._epoch(
        classifier,
        opt_state,
        train.rows,
        labels,
        index.astype(np.int32).reshape(count, -1),
        np.int32(first),
      )
      metrics = {name: float(value) for name, value in metrics.items()}
      if not math.isfinite(metrics["loss"]):
        raise DivergedError(
          f"{directory}: epoch {epoch + 1}: the loss is {metrics['loss']}"
        )
      lines.add(first + count, metrics)
    lines.close()
    truth = jax.device_put(test.labels_by_row(), devices.split())
    right = float(linear.accuracy(classifier, test.rows, truth))
    recipe = self.config.transfer.linear.train
    return {"accuracy": right}, trained_by(recipe) | {"augment": False}


class SVM(Probe):
  """A linear SVM a class."""

  def check(self, train: data.Source) -> None:
    """Refuses a class that is in too few images."""
    self.target.check_tested()
    try:
      names = train.class_names
      svm.check(to_multi_hot(train.labels, names), names)
    except ValueError as error:
      raise ConfigError(
        f"config.transfer.targets.{self.target.name}: {error}"
      ) from None

  def judge(self, train, test, directory, seed):
    """Chooses costs and trains, on the host."""
    del seed
    names = self.target.train.class_names
    machines = svm.fit(
      train.on_host(),
      to_multi_hot(train.labels, names),
      names,
      tuple(self.config.transfer.svm.costs),
    )
    found = precision.of_classes(
      machines.scores(test.on_host()), to_multi_hot(test.labels, names), names
    )
    classes = {
      name: {
        "cost": float(machines.costs[i]),
        "validated": float(machines.validated[i]),
        "converged": bool(machines.converged[i]),
        "average_precision": found[name],
      }
      for i, name in enumerate(names)
    }
    files.write_json(directory / "classes.json", classes)
    mean = float(np.mean(list(found.values())))
    costs = {name: of["cost"] for name, of in classes.items()}
    return {"mean_average_precision": mean}, {"costs": costs}


class Neighbours(Probe):
  """The vote of the nearest training images."""

  def check(self, train: data.Source) -> None:
    """Refuses fewer images than neighbours."""
    super().check(train)
    count = self.config.transfer.knn.neighbours
    if count > len(train):
      raise ConfigError(
        f"config.transfer.knn.neighbours: found {count}, expected at most the "
        f"{len(train)} training images of {self.target.name}"
      )

  def judge(self, train, test, directory, seed):
    """Votes on the test images."""
    del directory, seed
    settings = self.config.transfer.knn.to_dict()
    answer = knn.classify(
      train.rows,
      train.labels_by_row(),
      test.rows,
      num_classes=self.target.num_classes,
      **settings,
    )
    right = (answer == test.labels_by_row()).sum() / len(test.labels)
    return {"accuracy": float(right)}, settings


def trained_by(recipe: ConfigDict) -> dict:
  """Returns what lines of results say of a recipe."""
  return {
    "learning_rate": recipe.learning_rate,
    "batch_size": recipe.batch_size,
    "duration": recipe.duration,
  }
