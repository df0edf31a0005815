"""What a protocol is, what it finds, and what probes on frozen features share.

A protocol is a class in a file of its own and a row of `config.protocols`.
"""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import data, models
from sslprune_jax.config import protocols
from sslprune_jax.config.protocols import ProtocolRow
from sslprune_jax.data.augment import make_normalise
from sslprune_jax.features import extraction
from sslprune_jax.features.extraction import Features
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import devices, environment
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.transfer.target import Target
from sslprune_jax.workdir import TransferStage

_SHARE_OF_MEMORY = 0.7  # of a device that features may take


@dataclasses.dataclass(frozen=True)
class Judgement:
  """The scores of a network on a target, and how they came about.

  Attributes:
    scores: metric -> value.
    settings: what belongs to every line of results, such as the costs.
    masks: masks of the network that was judged.
    params: f32 arrays of the same network, 0 under the masks.
  """

  scores: dict[str, float]
  settings: dict[str, Any]
  masks: Masks
  params: Tree


class Protocol(abc.ABC):
  """A way to judge networks; one serves all stages that may share it.

  Attributes:
    section: name of its recipe's section, with dots; "" where it has none.
    row: what is known of it without it; of rows that share this class, any.
    config: configuration, validated.
    target: images that it judges on.
    fraction: share of the training images of each class.
    layer: endpoint that it reads, if it reads layers.

  Raises:
    ConfigError: the configuration and the target do not fit each other.
  """

  section: ClassVar[str] = ""

  def __init__(
    self,
    row: ProtocolRow,
    config: ConfigDict,
    target: Target,
    fraction: float,
    layer: str,
  ):
    self.row, self.config, self.target = row, config, target
    self.fraction, self.layer = fraction, layer

  @classmethod
  def make(cls, *args: Any) -> "Protocol":
    """Makes the protocol that the configuration asks for, by default this."""
    return cls(*args)

  @classmethod
  def factor(
    cls, row: ProtocolRow, config: ConfigDict, stage: TransferStage
  ) -> float:
    """Returns how many times as long as its recipe a stage trains.

    Args:
      row: row of the stage's protocol.
      config: configuration, validated.
      stage: stage of this protocol.
    """
    del row, config, stage
    return 1

  @abc.abstractmethod
  def num_images(self) -> int:
    """Counts the images that go through the network."""

  @abc.abstractmethod
  def run(
    self, ticket: Ticket, directory: epath.Path, seed: int, progress: Progress
  ) -> Judgement:
    """Judges a ticket's trunk.

    Args:
      ticket: network to judge, and its mask.
      directory: folder of what is written beside the result.
      seed: seed of the subset, and of the order of training.
      progress: progress of the study.
    """


def load(row: ProtocolRow) -> type[Protocol]:
  """Returns the class that a row names.

  Args:
    row: row of a protocol.

  Raises:
    ConfigError: there is no such module, or no such protocol in it.
  """
  found = protocols.PROTOCOLS.load(row.name)
  if not (isinstance(found, type) and issubclass(found, Protocol)):
    raise ConfigError(
      f"protocol {row.name}: found {row.target}, expected a class of "
      f"{Protocol.__module__}:{Protocol.__name__}"
    )
  return found


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
    self._step = extraction.make_step(network, normalise, layer)
    if config.transfer.batch_size % jax.device_count():
      raise ConfigError(
        f"config.transfer.batch_size: found {config.transfer.batch_size}, "
        f"expected a multiple of the {jax.device_count()} devices"
      )
    if target.train.multi_label and not self.row.several_labels:
      rows = protocols.PROTOCOLS.values()
      others = ", ".join(row.name for row in rows if row.several_labels)
      raise ConfigError(
        f"config.transfer.protocols: found a target with several labels an "
        f"image, {target.name}, expected one with one label; {others} take "
        "several"
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
    images = self.target.images(self.fraction, self.config.seeds[0])
    return len(images.train) + len(images.test)

  def run(
    self, ticket: Ticket, directory: epath.Path, seed: int, progress: Progress
  ) -> Judgement:
    """Extracts the features of a ticket's trunk, and judges by them."""
    images = self.target.images(self.fraction, seed)
    variables = devices.replicate(
      {
        "params": {"trunk": ticket.params["trunk"], "head": self._head},
        # Without batch norm there are none.
        "batch_stats": {
          k: v for k, v in ticket.batch_stats.items() if k == "trunk"
        },
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
    settings |= {"pooling": self._pooling}
    return Judgement(scores, settings, ticket.masks, ticket.params)

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
