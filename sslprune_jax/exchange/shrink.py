"""A pruned ticket to a smaller one: channels that are 0 are sliced out.

What is left computes the same, for images of any size that the network takes.
It is a ticket again: it is trained, transferred, pruned on, and drawn anew.
"""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax
import numpy as np

from sslprune_jax import models
from sslprune_jax.exchange.heads import without_other_head
from sslprune_jax.exchange.written import logits_of
from sslprune_jax.models import kept as kept_lib
from sslprune_jax.pruning import channel_cuts, channels
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.channels import Group
from sslprune_jax.pruning.tickets import Ticket, TicketError
from sslprune_jax.runtime.trees import Tree, named_leaves

_TOLERANCE = 1e-5  # of the largest logit
_LOGITS = 8  # of a head that is drawn to compare, where there is no linear one


def shrink(ticket: Ticket) -> Ticket:
  """Slices out of a ticket the channels that are 0 in all that goes with them.

  A channel that gives out the same number everywhere, and not 0, stays, and so
  does one of a group of which nothing else is left. A head of several layers,
  which its task alone can build, is left out.

  Args:
    ticket: ticket that says its network and the shape of its images.

  Returns:
    The smaller ticket; its `meta.config.model.kept` says what was kept.

  Raises:
    TicketError: the ticket does not say what its network is, is not of that
      network, or this computes something else without these channels.
  """
  whole = _with_linear_head(ticket)
  network = whole.network()
  whole.check_network(network)
  groups = channels.of_network(
    network, whole.variables, whole.image_shape
  ).groups
  lives = find_remaining(whole.params, groups)
  kept = find_kept(whole.variables, groups, lives)
  small = dataclasses.replace(
    whole,
    **kept_lib.take(whole.variables, kept),
    masks=_slice_masks(whole.masks, kept),
    meta=_describe(whole, kept),
  )
  _check_same(whole, small)
  if ticket.has_linear_head:
    return small
  return dataclasses.replace(
    small,
    params={"trunk": small.params["trunk"]},
    masks={"trunk": small.masks["trunk"]},
  )


def find_remaining(params: Tree, groups: Sequence[Group]) -> list[np.ndarray]:
  """Returns which channels are not 0 in all of the trunk that goes with them.

  Args:
    params: f32 arrays.
    groups: groups of channels.

  Returns:
    bool[size] a group, at least one True.
  """
  found = channel_cuts.remaining(
    jax.tree.map(lambda leaf: np.asarray(leaf) != 0, params), groups
  )
  for lives in found:
    lives[0] |= not lives.any()
  return found


def find_kept(
  variables: dict[str, Tree],
  groups: Sequence[Group],
  lives: Sequence[np.ndarray],
) -> dict[tuple[str, int], np.ndarray]:
  """Returns which indices of axes stay where channels go.

  Args:
    variables: `{"params", "batch_stats"}`.
    groups: groups of channels.
    lives: channels that stay, bool[size] a group.

  Returns:
    bool[n] by name and axis, of the axes that get shorter.
  """
  leaves, kept = named_leaves(variables), {}
  for group, alive in zip(groups, lives, strict=True):
    if alive.all():
      continue
    for (name, axis), indices in group.members.items():
      bits = np.ones(leaves[name].shape[axis], bool)
      bits = kept.setdefault((name, axis), bits)
      bits[indices[~alive].reshape(-1)] = False
  return kept


def _with_linear_head(ticket: Ticket) -> Ticket:
  """Returns a ticket with a head to compare by: its own, if it is linear."""
  if ticket.has_linear_head:
    return ticket
  ticket = without_other_head(ticket)
  network = ticket.network(num_outputs=_LOGITS)
  shape = models.num_features(network, ticket.image_shape), _LOGITS
  kernel = np.random.default_rng(0).standard_normal(shape, np.float32)
  head = {"kernel": kernel, "bias": np.zeros(_LOGITS, np.float32)}
  masks = jax.tree.map(lambda leaf: np.ones((), bool), head)
  return dataclasses.replace(
    ticket,
    params=ticket.params | {"head": head},
    masks=ticket.masks | {"head": masks},
  )


def _slice_masks(
  masks: masks_lib.Masks, kept: Mapping[tuple[str, int], np.ndarray]
) -> masks_lib.Masks:
  shaped = {f"params/{name}" for name in masks_lib.prunable(masks)}
  kept = {key: bits for key, bits in kept.items() if key[0] in shaped}
  return kept_lib.take({"params": masks}, kept)["params"]


def _describe(
  ticket: Ticket, kept: Mapping[tuple[str, int], np.ndarray]
) -> dict[str, Any]:
  """Returns what a shrunk ticket says, and what of the whole it has kept."""
  meta = copy.deepcopy(ticket.meta)
  model = meta["config"]["model"]
  trunk = {key: bits for key, bits in kept.items() if "/trunk/" in key[0]}
  before = kept_lib.decode(model.get("kept", ""))
  model["kept"] = kept_lib.encode(kept_lib.compose(before, trunk))
  return meta | {"density": masks_lib.density(_slice_masks(ticket.masks, kept))}


def _check_same(before: Ticket, after: Ticket) -> None:
  """Refuses a network that computes something else than before."""
  images = np.random.default_rng(0).standard_normal((2, *before.image_shape))
  logits = []
  for ticket in (before, after):
    try:
      logits.append(logits_of(ticket, np.float32(images)))
    except (flax.errors.FlaxError, TypeError, ValueError) as error:
      raise TicketError(
        "shrunk: found a network that does not take fewer channels, expected "
        "layers that read their widths off their params, by "
        f"models.layers.width_of ({str(error).splitlines()[0]})"
      ) from None
  error = np.abs(logits[1] - logits[0]).max()
  largest = np.abs(logits[0]).max()
  if not error <= _TOLERANCE * largest:
    raise TicketError(
      f"shrunk: found logits that differ by {error:.1e}, expected at most "
      f"{_TOLERANCE} of the largest, {largest:.1e}: the network gives out what "
      "is not 0 where its channels are"
    )
