"""Pruning: scores, thresholds, masks.

`mask = tree_map(score > threshold)`: the thresholds form a tree like the masks,
one number for all leaves when pruning is global, one a leaf when it is
layer-wise, minus infinity where a layer is left alone. The order statistic is
found on the host between rounds, where `np.partition` takes a tenth of a second
for ResNet-50 and XLA's sort on a CPU takes ten.
"""

from collections.abc import Collection
from fractions import Fraction

import jax
import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree, from_names, named_leaves

SCOPES = ("global", "layer")


def remaining_after(remaining: int, rate: float) -> int:
  """Returns how many weights remain when a rate of them is pruned.

  Exact integer arithmetic, rounded half up: float32 is off by one near 20
  million weights. The rate is read as the decimal that it prints as, so 0.2 is
  one fifth.

  Args:
    remaining: weights that remain before.
    rate: share of these to prune, in (0, 1).

  Returns:
    The number that remains after.
  """
  kept = remaining * (1 - Fraction(str(rate)))
  return (2 * kept.numerator + kept.denominator) // (2 * kept.denominator)


def magnitude_scores(params: Tree, masks: Masks) -> Tree:
  """Scores weights by magnitude, ranked by mask first and by value second.

  A rewound weight under a mask may be non-zero, so what is pruned scores minus
  infinity whatever its value.

  Args:
    params: float32 master weights.
    masks: the masks so far.

  Returns:
    f32 scores shaped like the masks; plus infinity for what is never pruned.

  Raises:
    ValueError: a remaining weight is NaN or infinite.
  """
  weights = named_leaves(params)
  scores = {}
  for name, mask in named_leaves(masks).items():
    if masks_lib.why_kept(name):
      scores[name] = np.float32(np.inf)
      continue
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
  return from_names(scores)


def prune(
  params: Tree,
  masks: Masks,
  rate: float,
  rng: np.random.Generator,
  *,
  scope: str = "global",
  layers: Collection[str] | None = None,
) -> Masks:
  """Prunes the remaining weights of smallest magnitude (paper, section 3).

  Args:
    params: float32 master weights.
    masks: the masks so far; what they prune stays pruned.
    rate: share of the *remaining* weights to prune, in (0, 1).
    rng: draws among weights of equal magnitude, so that the count is exact and
      no region is preferred (80 % exact zeros are a case of the paper).
    scope: "global" ranks all layers together, "layer" prunes the rate of each.
    layers: names of the kernels that may be pruned; None for all.

  Returns:
    The new masks, on the host.

  Raises:
    ValueError: non-finite weights, an unknown scope or layer, or nothing left.
  """
  scores = magnitude_scores(params, masks)
  by_name = {
    name: score
    for name, score in named_leaves(scores).items()
    if masks_lib.why_kept(name) is None
  }
  unknown = set(layers or ()) - by_name.keys()
  if unknown:
    raise ValueError(
      f"layers: found {sorted(unknown)}, expected some of {sorted(by_name)}"
    )
  open_names = [n for n in by_name if layers is None or n in layers]
  so_far = named_leaves(masks)
  if scope == "global":
    pools = [open_names]
  elif scope == "layer":
    pools = [[name] for name in open_names]
  else:
    raise ValueError(f"scope: found {scope!r}, expected one of {SCOPES}")

  thresholds = {name: np.float32(-np.inf) for name in named_leaves(scores)}
  quotas = []
  for names in pools:
    remaining = sum(np.count_nonzero(so_far[name]) for name in names)
    if not remaining:
      continue  # A layer that collapsed earlier has nothing to rank.
    # What is pruned takes part: it ranks below all that remains.
    values = np.concatenate([by_name[name].reshape(-1) for name in names])
    threshold, quota = _threshold(values, remaining_after(remaining, rate))
    thresholds |= dict.fromkeys(names, threshold)
    if quota:
      quotas.append((names, quota))

  pruned = jax.tree.map(
    lambda score, threshold: np.asarray(score > threshold),
    scores,
    from_names(thresholds),
  )
  leaves = named_leaves(pruned)
  for names, quota in quotas:
    _keep_ties(names, quota, by_name, thresholds, leaves, rng)
  if masks_lib.count(pruned)[0] == 0:
    raise ValueError(
      f"rate: {rate} leaves no weight at all; prune fewer rounds"
    )
  return pruned


def _threshold(values: np.ndarray, keep: int) -> tuple[np.float32, int]:
  """Finds the threshold above which at most `keep` values lie.

  Args:
    values: f32[N], the scores; reordered in place.
    keep: how many are to be kept.

  Returns:
    The threshold, and how many of the values equal to it must be kept too; 0
    where it could be set so that nothing equals it.
  """
  if keep == 0:
    return np.float32(np.inf), 0
  place = values.size - keep
  values.partition(place)
  threshold = values[place]
  # What lies before is not above it, and what follows is not below.
  if not np.count_nonzero(values[:place] == threshold):
    # Below 0 lies minus infinity alone.
    below = np.nextafter(threshold, np.float32(0)) if threshold > 0 else -1.0
    return np.float32(below), 0
  return threshold, int(np.count_nonzero(values[place:] == threshold))


def _keep_ties(names, quota, scores, thresholds, masks, rng) -> None:
  """Keeps, in place, a random `quota` of the weights at a threshold."""
  ties = [np.flatnonzero(scores[n] == thresholds[n]) for n in names]
  total = sum(len(t) for t in ties)
  chosen = np.zeros(total, bool)
  chosen[rng.choice(total, quota, replace=False)] = True
  ends = np.cumsum([len(t) for t in ties])
  for name, tie, end in zip(names, ties, ends, strict=True):
    masks[name].reshape(-1)[tie[chosen[end - len(tie) : end]]] = True
