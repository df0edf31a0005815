"""One round of pruning, as a configuration has it."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from sslprune_jax import pruning
from sslprune_jax import state as state_lib
from sslprune_jax.masks import Masks
from sslprune_jax.tickets import Ticket


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
  return pruning.prune(
    trained.params,
    trained.masks,
    settings.rate,
    state_lib.stream_generator(seed, purpose),
    scope=settings.scope,
    layers=[name for layer in first for name in layer],
  )
