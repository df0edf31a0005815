"""What a protocol is, and what it finds.

A protocol is a class in a file of its own and a row of `config.protocols`.
"""

import abc
import dataclasses
from typing import Any, ClassVar

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax.config import protocols
from sslprune_jax.config.protocols import ProtocolRow
from sslprune_jax.data.sources import Images
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.transfer.target import Target
from sslprune_jax.workdir import TransferStage


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
    if target.train.multi_label and not row.several_labels:
      rows = protocols.PROTOCOLS.values()
      others = ", ".join(row.name for row in rows if row.several_labels)
      raise ConfigError(
        f"config.transfer.protocols: found a target with several labels an "
        f"image, {target.name}, expected one with one label; {others} take "
        "several"
      )

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

  def images(self, seed: int) -> Images:
    """Returns the images that it judges by, and those that it judges on."""
    return self.target.images(self.fraction, seed)

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
