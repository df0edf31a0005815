"""What a protocol finds."""

import dataclasses
from typing import Any

from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree


@dataclasses.dataclass(frozen=True)
class Judgement:
  """The scores of a network on a target, and how they came about.

  Attributes:
    scores: metric to value.
    settings: what belongs to every line of results, such as the costs.
    masks: of the network that was judged.
    params: of the same network.
  """

  scores: dict[str, float]
  settings: dict[str, Any]
  masks: Masks
  params: Tree
