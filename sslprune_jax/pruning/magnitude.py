"""Pruning: scores, thresholds, masks.

`mask = tree_map(score > threshold)`: the thresholds form a tree like the masks,
one number for all leaves when pruning is global, one a leaf when it is
layer-wise, minus infinity where a layer is left alone. The order statistic is
found on the host between rounds, where `np.partition` takes a tenth of a second
for ResNet-50 and XLA's sort on a CPU takes ten.
"""

from collections.abc import Callable, Collection
from typing import Any

import chex
import jax
import numpy as np

from sslprune_jax.pruning import counts
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree, named_leaves, with_leaves


def magnitude_scores(params: Tree, masks: Masks) -> Tree:
  """Scores weights by magnitude, ranked by mask first and by value second.

  A rewound weight under a mask may be non-zero, so what is pruned scores minus
  infinity whatever its value.

  Args:
    params: f32 master weights.
    masks: masks so far.

  Returns:
    f32 scores on the host, shaped like the masks; plus infinity for what is
    never pruned.

  Raises:
    ValueError: a remaining weight is NaN or infinite.
  """
  weights = named_leaves(params)
  scores = {
    name: np.float32(np.inf)  # In place of what is never pruned.
    for name in named_leaves(masks)
  }
  for name, mask in masks_lib.prunable(masks).items():
    chex.assert_equal_shape([weights[name], mask], custom_message=name)
    score = np.abs(np.asarray(weights[name], np.float32))
    np.copyto(score, -np.inf, where=~np.asarray(mask))
    # A maximum passes NaN on, and takes a fraction of the time of a count.
    if not score.max(initial=-np.inf) < np.inf:
      bad = np.count_nonzero(np.isnan(score) | (score == np.inf))
      raise ValueError(
        f"{name}: found {bad} NaN or infinite weights among the remaining, "
        "expected finite weights to prune by magnitude"
      )
    scores[name] = score
  return with_leaves(masks, scores)


# What weights are ranked by: `(params, masks) -> scores`, as above.
CRITERIA: dict[str, Callable[[Tree, Masks], Tree]] = {
  "magnitude": magnitude_scores
}
# What is ranked together: names of kernels -> groups of them.
SCOPES: dict[str, Callable[[list[str]], list[list[str]]]] = {
  "global": lambda names: [names],
  "layer": lambda names: [[name] for name in names],
}


def score(criterion: str, params: Tree, masks: Masks) -> Tree:
  """Scores weights by a criterion.

  Args:
    criterion: name of one of `CRITERIA`.
    params: f32 master weights.
    masks: masks so far.

  Returns:
    f32 scores on the host, shaped like the masks: minus infinity for what is
    pruned already, and for nothing else.

  Raises:
    ValueError: there is no such criterion, or it cannot rank the weights.
  """
  return _find(CRITERIA, "criterion", criterion)(params, masks)


def _find(registry: dict[str, Any], field: str, name: str) -> Any:
  if name not in registry:
    raise ValueError(
      f"{field}: found {name!r}, expected one of {tuple(registry)}"
    )
  return registry[name]


def prune(
  scores: Tree,
  masks: Masks,
  rate: float,
  rng: np.random.Generator,
  *,
  scope: str = "global",
  layers: Collection[str] | None = None,
) -> Masks:
  """Prunes the remaining weights of smallest score (paper, section 3).

  Args:
    scores: f32 scores from `score`, of any sign.
    masks: masks so far; what they prune stays pruned.
    rate: share of the *remaining* weights to prune, in (0, 1).
    rng: generator that draws among weights of equal score, so that the count is
      exact and no region is preferred (80 % exact zeros are a case of the
      paper).
    scope: name of one of `SCOPES`: "global" ranks all layers together, "layer"
      prunes the rate of each.
    layers: names of the kernels that may be pruned; None for all.

  Returns:
    The new masks, on the host.

  Raises:
    ValueError: scores that do not fit the masks, an unknown scope or layer, or
      nothing left.
  """
  return _cut(
    scores,
    masks,
    lambda size, left: counts.remaining_after(left, rate),
    rng,
    scope,
    layers,
    f"rate: {rate} leaves no weight at all; prune fewer rounds",
  )


def prune_to(
  scores: Tree,
  masks: Masks,
  density: float,
  rng: np.random.Generator,
  *,
  scope: str = "global",
  layers: Collection[str] | None = None,
) -> Masks:
  """Prunes all weights but a share of those of largest score, at once.

  Args:
    scores: f32 scores, as `prune` takes them.
    masks: masks so far; what they prune stays pruned.
    density: share of *all* weights that are ranked together to keep, in (0, 1).
    rng: generator that draws among weights of equal score.
    scope: name of one of `SCOPES`.
    layers: names of the kernels that may be pruned; None for all.

  Returns:
    The new masks, on the host.

  Raises:
    ValueError: as of `prune`, or fewer weights remain already.
  """

  def count(size, left):
    kept = counts.share_of(size, density)
    if kept > left:
      raise ValueError(
        f"density: found {density}, which is {kept:,} weights, expected at "
        f"most the {left:,} of {size:,} that the masks leave"
      )
    return kept

  none = f"density: {density} leaves no weight at all"
  return _cut(scores, masks, count, rng, scope, layers, none)


def _cut(
  scores: Tree,
  masks: Masks,
  count: Callable[[int, int], int],
  rng: np.random.Generator,
  scope: str,
  layers: Collection[str] | None,
  none: str,  # What is said where nothing would be left.
) -> Masks:
  """Keeps of each group `count(weights, those that remain)` weights."""
  chex.assert_trees_all_equal_shapes(scores, masks)
  pools = _find(SCOPES, "scope", scope)(masks_lib.prunable_names(masks, layers))
  remaining, every = _count_ranked(scores, masks), named_leaves(scores)
  thresholds = {name: np.float32(-np.inf) for name in every}
  quotas = []
  for names in pools:
    left = sum(remaining[name] for name in names)
    if not left:
      continue  # A layer that collapsed earlier has nothing to rank.
    # What is pruned takes part: it ranks below all that remains.
    values = np.concatenate([every[name].reshape(-1) for name in names])
    threshold, quota = _threshold(values, count(values.size, left))
    thresholds |= dict.fromkeys(names, threshold)
    if quota:
      quotas.append((names, quota))

  pruned = jax.tree.map(
    lambda score, threshold: np.require(score > threshold, None, ["C", "W"]),
    scores,
    with_leaves(scores, thresholds),
  )
  leaves = named_leaves(pruned)
  for names, quota in quotas:
    _keep_ties(names, quota, every, thresholds, leaves, rng)
  if masks_lib.count(pruned)[0] == 0:
    raise ValueError(none)
  return pruned


def _count_ranked(scores: Tree, masks: Masks) -> dict[str, int]:
  """Counts the weights that remain of each kernel, all of which are ranked."""
  remaining, leaves = {}, named_leaves(scores)
  for name, mask in masks_lib.prunable(masks).items():
    remaining[name] = int(np.count_nonzero(mask))
    ranked = int(np.count_nonzero(leaves[name] > -np.inf))
    if ranked != remaining[name]:  # NaN is above nothing.
      raise ValueError(
        f"scores of {name}: found {ranked} above minus infinity, expected "
        f"{remaining[name]}, those of the weights that remain"
      )
  return remaining


def _threshold(values: np.ndarray, keep: int) -> tuple[np.float32, int]:
  """Finds the threshold above which at most `keep` values lie.

  Args:
    values: f32[N], scores; reordered in place.
    keep: number of values to keep.

  Returns:
    The threshold, and how many of the values equal to it must be kept too; 0
    where it could be set so that nothing equals it that is to be kept.
  """
  if keep == 0:
    return np.float32(np.inf), 0
  place = values.size - keep
  values.partition(place)
  threshold = values[place]
  # What lies before is not above it, and what follows is not below.
  below = values[:place].max(initial=-np.inf)
  if below < threshold:
    return below, 0
  return threshold, int(np.count_nonzero(values[place:] == threshold))


def _keep_ties(names, quota, scores, thresholds, masks, rng) -> None:
  """Keeps, in place, a random `quota` of the ties; masks lie in C's order."""
  ties = [np.flatnonzero(scores[n] == thresholds[n]) for n in names]
  total = sum(len(t) for t in ties)
  chosen = np.zeros(total, bool)
  chosen[rng.choice(total, quota, replace=False)] = True
  ends = np.cumsum([len(t) for t in ties])
  for name, tie, end in zip(names, ties, ends, strict=True):
    masks[name].reshape(-1)[tie[chosen[end - len(tie) : end]]] = True
