"""What probes on frozen features share; what a protocol is: see `protocol`."""

import abc
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import data, models, workdir
from sslprune_jax.data.augment import make_normalise
from sslprune_jax.features import extraction
from sslprune_jax.features.extraction import Features
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import devices, environment, rng
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.transfer.protocol import Judgement as Judgement
from sslprune_jax.transfer.protocol import Protocol as Protocol
from sslprune_jax.transfer.protocol import load as load

_SHARE_OF_MEMORY = 0.7  # of a device that features may take


def _ignore(images: int) -> None:
  """Counts nothing: what is extracted besides is not in the progress."""


class Probe(Protocol):
  """Judges a trunk by features that are extracted once, in evaluation mode.

  Attributes:
    channels: channels of what it reads; all numbers of features.
  """

  def __init__(self, *args: Any):
    super().__init__(*args)
    config, target, layer = self.config, self.target, self.layer
    network = models.from_config(config.model, 1)

    def read_out():
      images = jnp.zeros((1, *target.train.image_shape))
      outputs, variables = network.init_with_output(
        jax.random.key(0), images, train=False
      )
      grid = models.read_grid(outputs, layer)
      return outputs[layer], grid, variables["params"]["head"]

    try:
      endpoint, grid, head = jax.eval_shape(read_out)
    except ValueError as error:
      raise ConfigError(f"config.transfer.layers: {error}") from None
    self.channels = grid.shape[-1]
    self._pooling = models.pooling(endpoint.shape[1:])
    self._check_memory(math.prod(grid.shape))
    # One head for all tickets, whatever was on top of them.
    self._head = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), head)
    normalise = make_normalise(target.dataset)
    self._step = target.features.step(
      layer, lambda: extraction.make_step(network, normalise, layer)
    )
    if config.transfer.batch_size % jax.device_count():
      raise ConfigError(
        f"config.transfer.batch_size: found {config.transfer.batch_size}, "
        f"expected a multiple of the {jax.device_count()} devices"
      )
    self.check(target.images(self.fraction, config.seeds[0]).train)

  def _check_memory(self, width: int) -> None:
    """Refuses features that the devices cannot hold."""
    found = 4 * width * self.num_images() / jax.device_count()
    limit = _SHARE_OF_MEMORY * (environment.memory_limit() or math.inf)
    if found > limit:
      raise ConfigError(
        f"config.transfer.layers: found {self.layer}, whose {width:,} numbers "
        f"an image of {self.target.name} take {found / 1e9:.1f} GB of each "
        f"device, expected at most {limit / 1e9:.1f} GB; "
        "for linear, config.transfer.linear.augment=True keeps none"
      )

  def check(self, train: data.Source) -> None:
    """Refuses a target that the protocol does not fit.

    Args:
      train: training images, with their labels.

    Raises:
      ConfigError: names the field, what was found and what was expected.
    """

  def num_images(self) -> int:
    """Counts the images that go through the network."""
    images = self.images(self.config.seeds[0])
    return len(images.train) + len(images.test)

  def run(
    self, ticket: Ticket, directory: epath.Path, seed: int, progress: Progress
  ) -> Judgement:
    """Extracts the features of a ticket's trunk, and judges by them."""
    images, found = self.images(seed), []
    for source in (images.train, images.test):
      found.append(self.extract(ticket, source, progress))
      if self.row.reads_labels:
        self.target.check_labelled(source, found[-1].labels)
    scores, settings = self.judge(*found, directory, seed)
    scores |= self.judge_for_choice(found[0], directory, seed)
    settings |= {"pooling": self._pooling}
    return Judgement(scores, settings, ticket.masks, ticket.params)

  def held_out(self, size: int) -> int:
    """Counts the training images, of `size`, that the choice is made on."""
    return round(self.config.transfer.held_out * size)

  def judge_for_choice(
    self, train: Features, directory: epath.Path, seed: int
  ) -> dict[str, float]:
    """Judges on a part of the training images, by the rest of them."""
    size = len(train.place)
    if not self.held_out(size):
      return {}
    order = rng.raw(seed, "held out", 0, size).argsort(kind="stable")
    held, rest = np.split(order, [self.held_out(size)])
    scores, _ = self.judge(
      train.take(np.sort(rest)),
      train.take(np.sort(held)),
      directory / "choice",
      seed,
    )
    return {
      f"{name}{workdir.FOR_CHOICE}": value for name, value in scores.items()
    }

  def extract(
    self, ticket: Ticket, source: data.Source, progress: Progress | None = None
  ) -> Features:
    """Extracts the features of a ticket's trunk, and the labels of the images.

    Args:
      ticket: any network with the trunk of the configuration.
      source: images of the target.
      progress: progress of the study, if it counts them.
    """
    # By the source itself, which is so kept: another may get its address.
    kept, key = self.target.features, (self.layer, source)
    # Of a file; what was drawn has none.
    digest = json.dumps(ticket.meta.get("sha256", ""), sort_keys=True)[1:-1]
    advance = (lambda n: progress.advance(n, {})) if progress else _ignore
    if digest and kept.find((digest, *key)):
      advance(len(source))

    def extract():
      variables = {
        "params": {"trunk": ticket.params["trunk"], "head": self._head},
        # Without batch norm there are none.
        "batch_stats": {
          k: v for k, v in ticket.batch_stats.items() if k == "trunk"
        },
      }
      return extraction.extract(
        self._step,
        devices.replicate(variables),
        source,
        self.config.transfer.batch_size,
        with_labels=True,
        on_images=advance,
      )

    return kept.keep((digest, *key), extract) if digest else extract()

  @abc.abstractmethod
  def judge(
    self, train: Features, test: Features, directory: epath.Path, seed: int
  ) -> tuple[dict, dict]:
    """Returns the scores, and the settings that they came about by.

    Args:
      train: features of the training images, with their labels.
      test: features of the test images, with their labels.
      directory: folder of what is written beside the result.
      seed: seed of the order of training.
    """


def recipe_settings(recipe: ConfigDict) -> dict[str, Any]:
  """Returns what lines of results say of a recipe."""
  return {
    "learning_rate": recipe.learning_rate,
    "batch_size": recipe.batch_size,
    "duration": recipe.duration,
  }
