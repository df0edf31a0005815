"""Rounds that prune channels: which may go, how many, and which they are."""

import bisect
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax.config import rounds
from sslprune_jax.pruning import channel_cuts, channel_scores, channels, counts
from sslprune_jax.pruning.channel_cuts import Budget
from sslprune_jax.pruning.channels import Channels
from sslprune_jax.pruning.context import Context
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime import processes
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.trees import Tree

_PARTS = 1000  # of a width that a narrow network is made in


class ChannelRounds:
  """What the rounds of a study do where `prune.structure` is channels.

  A round leaves what the rate leaves of the network that the study starts with,
  to within a block: what one round cuts beyond it the next one does not.

  Args:
    config: configuration, validated.
    image_shape: (H, W, C).
    uses: uses of each kernel, from `models.uses`.
    ranked: names of the kernels that pruning may touch.
    variables: `{"params", "batch_stats"}` of the network, or their shapes.
    masks: masks that it starts with.

  Raises:
    ConfigError: no channel may be cut, or one by a score that it does not have,
      a width is no multiple, or the floors forbid a round.
  """

  def __init__(
    self,
    config: ConfigDict,
    image_shape: tuple[int, int, int],
    uses: Mapping[str, int],
    ranked: Sequence[str],
    variables: dict[str, Tree],
    masks: Masks,
  ):
    self._prune = prune = config.prune
    network = models.without_head(models.from_config(config.model, 1))
    found = channels.of_trunk(network, variables, image_shape)
    self._groups = found.groups
    cuttable = [
      set(group.writers) <= set(ranked)
      and (prune.streams or not group.is_stream)
      for group in found.groups
    ]
    if not any(cuttable):
      raise ConfigError(_say_none(config, found))
    for group, cuts in zip(found.groups, cuttable, strict=True):
      scaled = prune.criterion != "bn_scale" or channel_scores.has_scales(group)
      if cuts and not scaled:
        raise ConfigError(
          "config.prune.criterion: found bn_scale, expected another one where "
          f"no batch norm follows {group.name}"
        )
    for name, why in found.frozen.items():
      logging.warning("channels of %s stay: %s", name, why)
    self._masks = self.widen(masks, variables["params"])
    by_uses = channel_cuts.multiply_adds(found.groups, self._masks, uses)

    def count(widths):
      return sum(
        int(n) for n, cuts in zip(widths, cuttable, strict=True) if cuts
      )

    self._costs = {"channels": count, "multiply_adds": by_uses}
    self._budget = Budget(self._costs[prune.counts], prune.multiple, cuttable)
    self._whole = [group.size for group in found.groups]
    self._start = self._widths(self._masks)
    self._check(rounds.last(prune))

  def widen(self, masks: Masks, params: Tree) -> Masks:
    """Gives all that goes with channels a mask; see `channel_cuts.widen`."""
    return channel_cuts.widen(masks, params, self._groups)

  def prune(self, index: int, context: Context) -> Masks:
    """Returns the masks of a round.

    Args:
      index: round, from 1.
      context: network that the round before ended with; of one-shot pruning,
        the dense one.

    Raises:
      ValueError: channels cannot be ranked.
    """
    lives = channel_cuts.remaining(context.masks, self._groups)
    score = channel_scores.CRITERIA[self._prune.criterion]
    scores = score(context, self._groups, lives)
    return self._cut(context, scores, lives, self._most(index))

  def random(self, masks: Masks, rng: np.random.Generator) -> Masks:
    """Returns masks that leave as much of the dense network, at random.

    Args:
      masks: masks of a round.
      rng: generator that draws the channels.
    """
    context = Context({}, self._masks, rng)
    lives = channel_cuts.remaining(self._masks, self._groups)
    scores = channel_scores.noise(context, self._groups, lives)
    most = self._budget.cost(self._widths(masks))
    return self._cut(context, scores, lives, most)

  def narrow(self, masks: Masks) -> Masks:
    """Returns masks of a narrower network that costs no more.

    The first channels of each group that may be cut stay, the same share of all
    of them in whole blocks, as a network of fewer channels has them.

    Args:
      masks: masks of a round.
    """
    cost = self._budget.cost
    most = cost(self._widths(masks))
    parts = bisect.bisect_right(
      range(_PARTS + 1), most, key=lambda n: cost(self._uniform(n))
    )
    widths = self._uniform(max(0, parts - 1))
    # Of the layers that widen next those do for which it is not too much.
    for i, width in enumerate(self._uniform(min(parts, _PARTS))):
      wider = [*widths[:i], width, *widths[i + 1 :]]
      widths = wider if cost(wider) <= most else widths
    lives = channel_cuts.remaining(self._masks, self._groups)
    # The n-th that remains is kept where n is at most the width.
    kept = [
      alive & (np.cumsum(alive) <= width)
      for alive, width in zip(lives, widths, strict=True)
    ]
    return channel_cuts.cut(self._masks, self._groups, kept)

  def _uniform(self, parts: int) -> list[int]:
    """Returns widths of a share of the start's, whole blocks of it, down."""
    widths = []
    for group, n, cuts in zip(
      self._groups, self._start, self._budget.cuttable, strict=True
    ):
      step, floor = self._budget.step(group), self._budget.floor(group)
      share = n * parts // _PARTS // step * step
      widths.append(max(share, min(n, floor)) if cuts else n)
    return widths

  def shares(self, masks: Masks) -> dict[str, float]:
    """Returns which share of channels and of multiply-adds masks leave.

    Args:
      masks: masks of a round.

    Returns:
      `density_of_channels`, of those that may be cut, and
      `density_of_multiply_adds`, of the trunk.
    """
    widths = self._widths(masks)
    return {
      f"density_of_{name}": cost(widths) / cost(self._whole)
      for name, cost in self._costs.items()
    }

  def _widths(self, masks: Masks) -> list[int]:
    found = channel_cuts.remaining(masks, self._groups)
    return [int(np.count_nonzero(lives)) for lives in found]

  def _cut(self, context, scores, lives, most):
    # The first process chooses for all: a gradient may be rounded otherwise on
    # the device of another, which would train under other masks.
    kept = processes.from_first(
      lambda: channel_cuts.choose(
        self._groups, scores, lives, self._budget, most, context.rng
      )
    )
    return channel_cuts.cut(context.masks, self._groups, kept)

  def _most(self, index: int) -> int:
    """Returns how much a round leaves at most."""
    if self._prune.method == "one-shot":
      whole = self._budget.cost(self._whole)
      return counts.share_of(whole, self._prune.densities[index - 1])
    left = self._budget.cost(self._start)
    for _ in range(index):
      left = counts.remaining_after(left, self._prune.rate)
    return left

  def _check(self, last: int) -> None:
    """Refuses rounds that the floors, or the multiple, forbid."""
    try:
      self._budget.check(self._groups, self._start)
    except ValueError as error:
      raise ConfigError(f"config.prune.{error}") from None
    cost, prune = self._budget.cost, self._prune
    least = self._budget.least(self._groups, self._start)
    for index in range(1, last + 1):
      if self._most(index) >= least:
        continue
      floor = (
        f"{least / cost(self._whole):.4f} of the {prune.counts} is the least, "
        "as a layer keeps a tenth of its channels"
      )
      if prune.method == "one-shot":
        raise ConfigError(
          f"config.prune.densities: found {prune.densities[index - 1]}, "
          f"expected more: {floor}"
        )
      raise ConfigError(
        f"config.prune.rounds: found {last}, expected at most {index - 1} at "
        f"config.prune.rate={prune.rate}: {floor}"
      )


def _say_none(config: ConfigDict, found: Channels) -> str:
  """Says why no channel may be cut."""
  if found.groups:
    why = "all are of streams (config.prune.streams)"
    if config.prune.first_layers:
      why += " or beyond config.prune.first_layers"
  else:
    why = "; ".join(f"{name}: {why}" for name, why in found.frozen.items())
  return (
    f"config.prune.structure: found 'channels', expected 'weights': none of "
    f"{config.model.name} may be cut: {why}"
  )
