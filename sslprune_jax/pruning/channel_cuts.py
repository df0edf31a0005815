"""Pruning of channels: scores and a budget to masks.

Channels go in blocks, so that widths stay multiples of a number that machines
like, and no layer loses more than nine tenths of them. Of all groups together
the blocks of the lowest mean score go, until no more is left than the budget
says: it is exceeded by less than one block.
"""

import bisect
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import chex
import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.channels import Group
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree, named_leaves, with_leaves

FLOOR = Fraction(1, 10)  # of its channels, that a group keeps

Cost = Callable[[Sequence[int]], int]  # of the widths of all groups


def widen(masks: Masks, params: Tree, groups: Sequence[Group]) -> Masks:
  """Gives all that goes with channels a mask: batch norm and biases too.

  Else a channel without weights would still give out its bias.

  Args:
    masks: masks, bool[...] or bool[].
    params: arrays of the same structure, or their shapes.
    groups: groups of channels.

  Returns:
    The masks, on the host, True where they had no shape.
  """
  shapes = {k: leaf.shape for k, leaf in named_leaves(params).items()}
  leaves = named_leaves(masks)
  for name in {name for group in groups for name, _ in group.trunk}:
    if not np.ndim(leaves[name]):
      leaves[name] = np.ones(shapes[name], bool)
  return with_leaves(masks, leaves)


def remaining(masks: Masks, groups: Sequence[Group]) -> list[np.ndarray]:
  """Returns which channels remain: those of which something does.

  Args:
    masks: masks of `widen`.
    groups: groups of channels.

  Returns:
    bool[size] a group.
  """
  leaves, by_axis, found = masks_lib.prunable(masks), {}, []
  for group in groups:
    lives = np.zeros(group.size, bool)
    for (name, axis), indices in group.trunk.items():
      if (name, axis) not in by_axis:
        leaf = np.asarray(leaves[name])
        others = tuple(i for i in range(leaf.ndim) if i != axis)
        by_axis[name, axis] = leaf.any(others)
      lives |= by_axis[name, axis][indices].any(1)
    found.append(lives)
  return found


def cut(
  masks: Masks, groups: Sequence[Group], kept: Sequence[np.ndarray]
) -> Masks:
  """Masks channels in all that goes with them in the trunk.

  Args:
    masks: masks of `widen`.
    groups: groups of channels.
    kept: channels to keep, bool[size] a group.

  Returns:
    The masks, on the host: of what they pruned before nothing returns.
  """
  leaves = {k: np.array(leaf) for k, leaf in named_leaves(masks).items()}
  along: dict[tuple[str, int], np.ndarray] = {}  # what stays along an axis
  for group, stays in zip(groups, kept, strict=True):
    for (name, axis), indices in group.trunk.items():
      lives = along.setdefault(
        (name, axis), np.ones(leaves[name].shape[axis], bool)
      )
      lives[indices[~stays]] = False
  for (name, axis), lives in along.items():
    others = [i for i in range(leaves[name].ndim) if i != axis]
    leaves[name] &= np.expand_dims(lives, others)
  return with_leaves(masks, leaves)


def multiply_adds(
  groups: Sequence[Group], masks: Masks, uses: Mapping[str, int]
) -> Cost:
  """Returns what counts the multiply-adds of the trunk by the groups' widths.

  Args:
    groups: all groups of the network.
    masks: masks, for the shapes of the kernels.
    uses: multiply-adds an image of a weight of each, from `models.uses`.
  """
  leaves = masks_lib.prunable(masks)
  shares = {  # Of each axis: indices of no group, and those a channel.
    name: [(n, {}) for n in leaves[name].shape] for name in uses
  }
  for i, group in enumerate(groups):
    for (name, axis), indices in group.trunk.items():
      if name in shares:
        rest, of = shares[name][axis]
        shares[name][axis] = rest - indices.size, {**of, i: indices.shape[1]}

  def count(widths):
    total = 0
    for name, axes in shares.items():
      weights = uses[name]
      for rest, of in axes:
        weights *= rest + sum(k * int(widths[i]) for i, k in of.items())
      total += weights
    return total

  return count


@dataclasses.dataclass(frozen=True)
class Budget:
  """What may be cut, and what counts.

  Attributes:
    cost: what is counted, by the widths of all groups.
    multiple: number that the width of a group stays a multiple of, if it has at
      least twice as many channels; others are cut one by one.
    cuttable: whether each group may be cut.
  """

  cost: Cost
  multiple: int
  cuttable: Sequence[bool]

  def step(self, group: Group) -> int:
    """Returns how many channels of a group go at once."""
    return self.multiple if group.size >= 2 * self.multiple else 1

  def floor(self, group: Group) -> int:
    """Returns how many channels a group keeps at least."""
    step = self.step(group)
    return -(-math.ceil(FLOOR * group.size) // step) * step

  def least(self, groups: Sequence[Group], widths: Sequence[int]) -> int:
    """Returns the least cost that the floors allow.

    Args:
      groups: all groups of the network.
      widths: channels that remain of each.
    """
    rows = zip(groups, widths, self.cuttable, strict=True)
    return self.cost(
      [min(n, self.floor(g)) if cuts else n for g, n, cuts in rows]
    )

  def check(self, groups: Sequence[Group], widths: Sequence[int]) -> None:
    """Refuses widths of groups that may be cut, and are no multiples.

    Raises:
      ValueError: names the layer, its width and what would divide it.
    """
    for group, width, cuts in zip(groups, widths, self.cuttable, strict=True):
      if cuts and width % self.step(group):
        raise ValueError(
          f"multiple: found {self.multiple}, expected a divisor of the {width} "
          f"channels of {group.name}, as 1 is"
        )


def choose(
  groups: Sequence[Group],
  scores: Sequence[np.ndarray],
  lives: Sequence[np.ndarray],
  budget: Budget,
  most: int,
  rng: np.random.Generator,
) -> list[np.ndarray]:
  """Chooses the channels that remain.

  Args:
    groups: all groups of the network.
    scores: f64[size] a group.
    lives: channels that remain so far, bool[size] a group.
    budget: what may be cut, and what counts.
    most: largest cost to be left: no more blocks go than it takes.
    rng: generator that draws among equal scores.

  Returns:
    Channels that remain, bool[size] a group.

  Raises:
    ValueError: a width is no multiple, a score is not finite, or the floors
      allow no such cost.
  """
  chex.assert_equal_shape([np.concatenate(scores), np.concatenate(lives)])
  whole = np.array([np.count_nonzero(alive) for alive in lives])
  budget.check(groups, whole)
  least = budget.least(groups, whole)
  if least > most:
    raise ValueError(
      f"found {most:,} of {budget.cost(whole):,} to be left, expected at least "
      f"{least:,}: a layer keeps a tenth of its channels"
    )
  for group, score, alive in zip(groups, scores, lives, strict=True):
    if not np.isfinite(score[alive]).all():
      raise ValueError(
        f"scores of {group.name}: found NaN or infinity, expected finite "
        "numbers"
      )
  orders, ranked = _rank(groups, scores, lives, budget, rng)
  steps = np.array([budget.step(group) for group in groups])

  def widths(gone):
    return whole - steps * np.bincount(ranked[:gone], minlength=len(groups))

  fewest = bisect.bisect_left(
    range(ranked.size), True, key=lambda n: budget.cost(widths(n)) <= most
  )
  kept = [np.zeros(alive.size, bool) for alive in lives]
  for keep, order, width in zip(kept, orders, widths(fewest), strict=True):
    keep[order[order.size - width :]] = True
  return kept


def _rank(
  groups: Sequence[Group],
  scores: Sequence[np.ndarray],
  lives: Sequence[np.ndarray],
  budget: Budget,
  rng: np.random.Generator,
) -> tuple[list[np.ndarray], np.ndarray]:
  """Ranks channels within each group, and blocks of them over all groups.

  Returns:
    i[remaining] a group, channels from the lowest; and i[blocks], the groups
    that a block is taken of, in the order in which blocks go.
  """
  orders, blocks = [], []
  for i, (group, score) in enumerate(zip(groups, scores, strict=True)):
    at = np.flatnonzero(lives[i])
    order = at[np.lexsort((rng.random(at.size), score[at]))]
    orders.append(order)
    if budget.cuttable[i]:
      free = order[: max(0, at.size - budget.floor(group))]
      means = score[free].reshape(-1, budget.step(group)).mean(1)
      # Drawn where means are equal, and in order within the group.
      draws = np.sort(rng.random(means.size))
      blocks += [(m, d, i) for m, d in zip(means, draws, strict=True)]
  return orders, np.array([group for *_, group in sorted(blocks)], int)
