"""One round: its pruning, and where its mask is retrained from."""

from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from sslprune_jax.pruning import controls, magnitude, sparsity
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import rng as rng_lib
from sslprune_jax.runtime.trees import Tree


def prune(
  trained: Ticket,
  settings: ConfigDict,
  layers: Sequence[Sequence[str]],
  seed: int,
  purpose: str,
) -> Masks:
  """Prunes what a round ended with.

  Args:
    trained: the weights that training under the mask ended with.
    settings: `config.prune`.
    layers: from `models.layer_order`.
    seed: of the study.
    purpose: of the order of ties; another one for every round.

  Returns:
    The masks of the next round.
  """
  first = layers[: settings.first_layers or None]
  return magnitude.prune(
    magnitude.score("magnitude", trained.params, trained.masks),
    trained.masks,
    settings.rate,
    rng_lib.stream_generator(seed, purpose),
    scope=settings.scope,
    layers=[name for layer in first for name in layer],
  )


def start(
  init: str,
  ticket: Ticket,
  fresh: dict[str, Tree],
  rng: np.random.Generator,
  *,
  dense: Callable[[], Ticket],
  ranked: Sequence[str],
) -> tuple[dict[str, Tree], Masks]:
  """Returns what retraining a mask starts from (paper, section 3).

  Args:
    init: "rewind", the winning ticket; "reinit", the same mask and fresh
      weights; the controls, which have fresh weights too: "random", the mask
      permuted, or "adjusted", drawn among what training left alive.
    ticket: W_k under the mask.
    fresh: variables drawn from the initializer.
    rng: of the controls.
    dense: reads the trained dense network, for "adjusted".
    ranked: names of the kernels that pruning may touch.

  Returns:
    Variables and masks.
  """
  if init == "rewind":
    return ticket.variables, ticket.masks
  masks = ticket.masks
  if init == "random":
    masks = controls.permute(masks, rng, ranked)
  elif init == "adjusted":
    trained = dense()
    alive = sparsity.nonzero_masks(
      trained.params, trained.masks, sparsity.MACHINE_PRECISION
    )
    masks = controls.adjust(masks, alive, rng, ranked)
  return fresh, masks
