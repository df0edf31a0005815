"""Sparsity: what remains layer by layer, and what training drove to zero.

The paper (figures 6 and 10) finds that weight decay leaves most weights of a
network trained on CIFAR-10 at zero, up to machine precision: "natural"
sparsity, that nobody pruned.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import chex
import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import Tree, named_leaves, with_leaves

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


def density_of(masks: Masks, names: Sequence[str]) -> float:
  """Returns the share of weights that some kernels keep, in [0, 1].

  Args:
    masks: masks, bool[...] or bool[].
    names: names of the kernels, at least one.
  """
  by_name = masks_lib.prunable(masks)
  chosen = [by_name[name] for name in names]
  return sum(np.count_nonzero(m) for m in chosen) / sum(m.size for m in chosen)


def report(
  masks: Masks, params: Tree, uses: Mapping[str, int]
) -> dict[str, Any]:
  """Counts what remains, layer by layer.

  Args:
    masks: masks, bool[...] or bool[].
    params: arrays or shapes of the parameters.
    uses: multiply-adds an image of a weight of each prunable kernel, from
      `models.uses`; in forward order.

  Returns:
    JSON values: `layers` (path, shape, total, kept, uses, dead_outputs: output
    channels of which no weight is left), `kept` and `prunable` weights,
    `parameters` of the whole network, and `excluded` (path, size, reason).
  """
  by_name = {
    name: np.asarray(leaf) for name, leaf in masks_lib.prunable(masks).items()
  }
  # Batch norm that goes with channels has masks, and no uses of its own.
  assert uses.keys() <= by_name.keys(), "uses names other kernels"
  sizes = {
    name: int(np.prod(leaf.shape))
    for name, leaf in named_leaves(params).items()
  }
  kept, total = masks_lib.count(masks)
  return {
    "layers": [
      {
        "path": name,
        "shape": list(by_name[name].shape),
        "total": by_name[name].size,
        "kept": int(np.count_nonzero(by_name[name])),
        "uses": count_of_uses,
        "dead_outputs": _dead_outputs(by_name[name]),
      }
      for name, count_of_uses in uses.items()
    ],
    "kept": kept,
    "prunable": total,
    "parameters": sum(sizes.values()),
    "excluded": [
      {
        "path": name,
        "size": size,
        "reason": "with its channels"
        if name in by_name
        else masks_lib.why_kept(name) or "not prunable",
      }
      for name, size in sizes.items()
      if name not in uses
    ],
  }


def _dead_outputs(mask: np.ndarray) -> int:
  """Counts the outputs (last axis) that no remaining weight leads to."""
  return int(np.count_nonzero(~mask.reshape(-1, mask.shape[-1]).any(axis=0)))


def overlap(a: Masks, b: Masks) -> list[dict[str, Any]]:
  """Counts what two masks share, layer by layer.

  Two masks drawn at random that keep `a` and `b` of a layer's n weights share
  a b / n of them in expectation (hypergeometric).

  Args:
    a: masks, bool[...] or bool[].
    b: other masks of the same trunk.

  Returns:
    JSON values, an entry a layer: `path`, `total` weights, those kept by `a`,
    by `b` and by `both`.

  Raises:
    ValueError: the trunks differ.
  """
  ours, theirs = masks_lib.prunable(a), masks_lib.prunable(b)
  shapes = [{k: v.shape for k, v in m.items()} for m in (ours, theirs)]
  if shapes[0] != shapes[1]:
    differing = sorted(dict(shapes[0].items() ^ shapes[1].items()))
    raise ValueError(f"masks of different networks: {differing} differ")
  return [
    {
      "path": name,
      "total": ours[name].size,
      "a": int(np.count_nonzero(ours[name])),
      "b": int(np.count_nonzero(theirs[name])),
      "both": int(np.count_nonzero(ours[name] & theirs[name])),
    }
    for name in ours
  ]


def nonzero_masks(params: Tree, masks: Masks, threshold: float) -> Masks:
  """Returns where the remaining weights are larger than a threshold.

  Args:
    params: f32 arrays.
    masks: masks of the same structure.
    threshold: magnitude that still counts as zero.

  Returns:
    Masks on the host: False where the weight is pruned or its magnitude at most
    the threshold; True for what is never pruned.
  """
  weights, leaves = named_leaves(params), named_leaves(masks)
  alive = {name: np.asarray(mask) for name, mask in leaves.items()}
  for name in masks_lib.prunable(masks):
    chex.assert_equal_shape([weights[name], alive[name]], custom_message=name)
    alive[name] = alive[name] & (np.abs(np.asarray(weights[name])) > threshold)
  return with_leaves(masks, alive)


def magnitudes(params: Tree, masks: Masks) -> dict[str, Any]:
  """Counts the remaining prunable weights by their magnitude.

  Args:
    params: f32 arrays, trained.
    masks: masks under which they were trained.

  Returns:
    JSON values: `remaining` weights; `at_most`, for each of `THRESHOLDS` its
    `threshold` and how many weights are `count`ed; `layers` (path, remaining,
    at_most: the counts alone); `histogram` of the others' magnitudes:
    `exponents` of 10 between the bins, `counts`, and what lies `below` and
    `beyond`.
  """
  leaves = named_leaves(params)
  layers, found = [], []
  for name, mask in masks_lib.prunable(masks).items():
    chex.assert_equal_shape([leaves[name], mask], custom_message=name)
    kept = np.abs(np.asarray(leaves[name])[np.asarray(mask)])
    found.append(kept)
    counts = {k: _at_most(kept, t) for k, t in THRESHOLDS.items()}
    layers.append({"path": name, "remaining": kept.size, "at_most": counts})
  values = np.concatenate(found)
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
