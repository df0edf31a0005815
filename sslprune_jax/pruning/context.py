"""What a criterion may read of a network to score what pruning may take."""

import dataclasses
from collections.abc import Callable, Iterable

import jax
import numpy as np

from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree


@dataclasses.dataclass(frozen=True)
class Context:
  """A trained network; each criterion reads some of it.

  Attributes:
    params: f32 arrays.
    masks: masks so far.
    rng: generator of what is drawn.
    loss: `(params, batch) -> f32[]`, pure: the loss that the network was
      trained on, its batch norm as in training.
    batches: batches that the loss is averaged over; read once.
  """

  params: Tree
  masks: Masks
  rng: np.random.Generator
  loss: Callable[[Tree, Tree], jax.Array] | None = None
  batches: Iterable[Tree] = ()
