"""Magnitudes of trained weights: how many training itself drove to zero.

The paper (figures 6 and 10) finds that weight decay leaves most weights of a
network trained on CIFAR-10 at zero, up to machine precision.
"""

from typing import Any

import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree, from_names, named_leaves

# A weight counts as zero up to these magnitudes. Machine precision is the
# spacing of float32 at 1, 1.2e-7 (ours: the paper does not say).
MACHINE_PRECISION = float(np.finfo(np.float32).eps)
THRESHOLDS = {
  "zero": 0.0,
  "machine_precision": MACHINE_PRECISION,
  "1e-5": 1e-5,
}
# Of the histogram: four bins a decade.
EXPONENTS = np.arange(-48, 5) / 4


def above(params: Tree, masks: Masks, threshold: float) -> Masks:
  """Returns where the remaining weights are larger than a threshold.

  Args:
    params: f32.
    masks: of the same structure.
    threshold: of the magnitude.

  Returns:
    Masks: False where the weight is pruned or its magnitude at most the
    threshold; True for what is never pruned.
  """
  weights = named_leaves(params)
  return from_names(
    {
      name: np.asarray(mask)
      if masks_lib.why_kept(name)
      else np.asarray(mask) & (np.abs(np.asarray(weights[name])) > threshold)
      for name, mask in named_leaves(masks).items()
    }
  )


def report(params: Tree, masks: Masks) -> dict[str, Any]:
  """Counts the remaining prunable weights by their magnitude.

  Args:
    params: f32, trained.
    masks: under which they were trained.

  Returns:
    JSON values: `remaining` weights; `at_most`, for each of `THRESHOLDS` its
    `threshold` and how many weights are `count`ed; `layers` (path, remaining,
    at_most: the counts alone); `histogram` of the others' magnitudes:
    `exponents` of 10 between the bins, `counts`, and what lies `below` and
    `beyond`.
  """
  leaves = named_leaves(params)
  layers, magnitudes = [], []
  for name, mask in masks_lib.prunable(masks).items():
    kept = np.abs(np.asarray(leaves[name])[np.asarray(mask)])
    magnitudes.append(kept)
    counts = {k: _at_most(kept, t) for k, t in THRESHOLDS.items()}
    layers.append({"path": name, "remaining": kept.size, "at_most": counts})
  values = np.concatenate(magnitudes)
  edges = 10.0**EXPONENTS
  counts, _ = np.histogram(values, edges)
  return {
    "remaining": values.size,
    "at_most": {
      name: {"threshold": threshold, "count": _at_most(values, threshold)}
      for name, threshold in THRESHOLDS.items()
    },
    "layers": layers,
    "histogram": {
      "exponents": EXPONENTS.tolist(),
      "counts": counts.tolist(),
      "below": int(np.count_nonzero(values < edges[0])),
      "beyond": int(np.count_nonzero(values > edges[-1])),
    },
  }


def _at_most(values: np.ndarray, threshold: float) -> int:
  return int(np.count_nonzero(values <= np.float32(threshold)))
