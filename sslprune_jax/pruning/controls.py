"""Random controls: masks that keep how many weights remain and forget which."""

from collections.abc import Collection

import chex
import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.runtime.trees import named_leaves, with_leaves


def permute(
  masks: Masks,
  rng: np.random.Generator,
  layers: Collection[str] | None = None,
) -> Masks:
  """Permutes masks over the whole network: the paper's random control.

  Args:
    masks: masks, bool[...] or bool[].
    rng: generator that draws the permutation.
    layers: names of the kernels that pruning may touch; None for all. The
      others keep their masks.

  Returns:
    Masks of the same density that keep nothing of where the weights were.
  """
  names = masks_lib.prunable_names(masks, layers)
  return _fill(masks, names, rng.permutation(_join(masks, names)))


def adjust(
  masks: Masks,
  alive: Masks,
  rng: np.random.Generator,
  layers: Collection[str] | None = None,
) -> Masks:
  """Draws masks at random among the weights that training left alive.

  The paper's adjusted random control: what training itself drove to zero is
  masked first, and then others at random up to the rate. Where fewer weights
  are alive than remain, all of them stay, and the rest is drawn at random among
  the dead ones, so that the count is that of `masks` (ours: the paper does not
  say).

  Args:
    masks: masks of the density to reach.
    alive: masks of the same shapes, True where the trained dense network's
      weight is not zero: `sparsity.nonzero_masks`.
    rng: generator that draws the weights.
    layers: names of the kernels that pruning may touch; None for all. The
      others keep their masks.

  Returns:
    Masks of the same density.
  """
  chex.assert_trees_all_equal_shapes(masks, alive)
  names = masks_lib.prunable_names(masks, layers)
  living = _join(alive, names)
  left = int(np.count_nonzero(_join(masks, names)))
  bits = np.zeros(living.size, bool)
  for group in (np.flatnonzero(living), np.flatnonzero(~living)):
    count = min(left, group.size)
    bits[rng.choice(group, count, replace=False)] = True
    left -= count
  return _fill(masks, names, bits)


def _join(masks: Masks, names: list[str]) -> np.ndarray:
  leaves = named_leaves(masks)
  return np.concatenate([np.asarray(leaves[n]).reshape(-1) for n in names])


def _fill(masks: Masks, names: list[str], bits: np.ndarray) -> Masks:
  """Returns the masks with some kernels filled from a row of bits."""
  leaves = named_leaves(masks)
  ends = np.cumsum([leaves[name].size for name in names])
  for name, end in zip(names, ends, strict=True):
    shape = leaves[name].shape
    leaves[name] = bits[end - leaves[name].size : end].reshape(shape)
  return with_leaves(masks, leaves)
