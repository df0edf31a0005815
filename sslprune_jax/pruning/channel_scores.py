"""Scores of channels: which ones a network can do without.

A criterion is `(context, groups, remaining) -> scores f64[size] a group`; the
channels of the lowest go first, of all groups together. What of it goes with a
channel, in all its layers, is scored as one.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from sslprune_jax.pruning.channels import Group
from sslprune_jax.pruning.context import Context
from sslprune_jax.runtime.trees import Tree, named_leaves

Scores = list[np.ndarray]
Remaining = Sequence[np.ndarray]  # bool[size] a group


def norms(
  context: Context, groups: Sequence[Group], remaining: Remaining
) -> Scores:
  """Scores channels by the norm of what writes and reads them.

  The squares of each kernel are divided by their mean over the channels that
  remain, so that the layers of a network, whose weights differ in scale, can be
  ranked together.

  Args:
    context: params alone are read.
    groups: groups of channels.
    remaining: channels that remain, bool[size] a group.

  Returns:
    f64[size] a group: 1 for a channel like the mean.

  Reference:
    Fang et al. 2023, arXiv 2301.12900, section 3.3: groups are scored as one.
  """
  leaves, scores, sums = named_leaves(context.params), [], {}
  kernels = {
    key for group in groups for key in group.trunk if key[0].endswith("/kernel")
  }
  for name, keys in itertools.groupby(sorted(kernels), key=lambda key: key[0]):
    squares = np.square(leaves[name], dtype=np.float64)
    sums |= {key: _sum_rest(squares, key[1]) for key in keys}
  for group, lives in zip(groups, remaining, strict=True):
    total = []
    for key, indices in group.trunk.items():
      if key in sums:
        squares = sums[key][indices].sum(1)
        total.append(squares / (squares[lives].mean() or 1.0))
    scores.append(np.sqrt(np.mean(total, axis=0)))
  return scores


def scales(
  context: Context, groups: Sequence[Group], remaining: Remaining
) -> Scores:
  """Scores channels by the magnitude of their batch norm's scale.

  Args:
    context: params alone are read.
    groups: groups of channels.
    remaining: channels that remain, bool[size] a group.

  Returns:
    f64[size] a group: a mean over the layers that write it; 0 where no batch
    norm follows, so that such a group must not be ranked.

  Reference:
    Liu et al. 2017, arXiv 1708.06519, section 3.
  """
  del remaining
  leaves, scores = named_leaves(context.params), []
  for group in groups:
    found = [
      _sum_rest(np.abs(leaves[name]), axis)[indices].sum(1)
      for (name, axis), indices in group.trunk.items()
      if name.endswith("/scale")
    ]
    scores.append(np.mean(found, axis=0) if found else np.zeros(group.size))
  return scores


def has_scales(group: Group) -> bool:
  """Returns whether batch norm follows what writes a group."""
  return any(name.endswith("/scale") for name, _ in group.trunk)


def taylor(
  context: Context, groups: Sequence[Group], remaining: Remaining
) -> Scores:
  """Scores channels by how the loss would change without them, to first order.

  A factor of what comes out of batch norm, or of the layer where there is none,
  has the gradient `sum(w g)` over its parameters; squared for each batch, then
  averaged.

  Args:
    context: params, loss and batches are read.
    groups: groups of channels.
    remaining: channels that remain, bool[size] a group.

  Returns:
    f64[size] a group.

  Raises:
    ValueError: there is no batch.

  Reference:
    Molchanov et al. 2019, arXiv 1906.10771, equations 8 and 9.
  """
  del remaining
  gradient = jax.jit(jax.grad(context.loss))
  gates = [_gates(group) for group in groups]
  scores, count = [np.zeros(group.size) for group in groups], 0
  for batch in context.batches:
    changes = _products(context.params, gradient(context.params, batch))
    for score, gate in zip(scores, gates, strict=True):
      found = [
        _sum_rest(changes[name], axis)[indices].sum(1)
        for (name, axis), indices in gate.items()
      ]
      score += np.sum(found, axis=0) ** 2
    count += 1
  if not count:
    raise ValueError("batches: found none, expected at least one")
  return [score / count for score in scores]


def noise(
  context: Context, groups: Sequence[Group], remaining: Remaining
) -> Scores:
  """Scores channels at random, f64[size] a group: the control of all others.

  Args:
    context: its generator alone is read.
    groups: groups of channels.
    remaining: channels that remain, bool[size] a group.
  """
  del remaining
  return [context.rng.random(group.size) for group in groups]


CRITERIA: dict[str, Callable[[Context, Sequence[Group], Remaining], Scores]] = {
  "magnitude": norms,
  "bn_scale": scales,
  "taylor": taylor,
  "random": noise,
}


def _gates(group: Group) -> dict[tuple[str, int], np.ndarray]:
  """Returns the members that a factor of each channel would multiply."""
  trunk = group.trunk
  scales = [key for key in trunk if key[0].endswith("/scale")]
  gates = scales or list(group.writers.items())
  biases = [(f"{name.rpartition('/')[0]}/bias", 0) for name, _ in gates]
  return {key: trunk[key] for key in (*gates, *biases) if key in trunk}


def _products(params: Tree, gradients: Tree) -> dict[str, np.ndarray]:
  """Returns w g, f64, by name."""
  found = named_leaves(jax.device_get(gradients))
  return {
    name: np.asarray(leaf, np.float64) * found[name]
    for name, leaf in named_leaves(params).items()
  }


def _sum_rest(values: np.ndarray, axis: int) -> np.ndarray:
  """Sums over all axes but one, in float64."""
  others = tuple(i for i in range(values.ndim) if i != axis)
  return values.sum(others, dtype=np.float64)
