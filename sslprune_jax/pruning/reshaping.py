"""What the primitives tie that move indices and compute nothing."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sslprune_jax.pruning.ties import FIXED, Axes, Labels, Ties, stays


def _reshape(ties, equation, read):
  if equation.params.get("dimensions") is not None:
    return ties.refuse(read, "a reshape that transposes", equation.outvars)
  shape = equation.outvars[0].aval.shape
  axes, sizes = [x for x in read[0] if len(x) > 1], [n for n in shape if n > 1]
  out = []
  while sizes:  # The shortest runs of axes of one product.
    run_, new = [axes.pop(0)], [sizes.pop(0)]
    while (have := math.prod(map(len, run_))) != (want := math.prod(new)):
      if have < want:
        run_.append(axes.pop(0))
      else:
        new.append(sizes.pop(0))
    out += _regroup(ties, run_, new)
  return [[out.pop(0) if n > 1 else np.zeros(1, int) for n in shape]]


def _regroup(ties: Ties, axes: Axes, sizes: list[int]) -> Axes:
  """Returns the labels of a run of axes that takes other sizes."""
  live = [i for i, axis in enumerate(axes) if (axis > FIXED).any()]
  if len(axes) == len(sizes) == 1:
    return axes
  if len(live) == len(sizes) == 1:  # Flattens: broadcast over the others.
    shape = [-1 if i == live[0] else 1 for i in range(len(axes))]
    whole = [len(axis) for axis in axes]
    flat = np.broadcast_to(axes[live[0]].reshape(shape), whole)
    return [flat.reshape(-1)]
  if len(live) == len(axes) == 1:
    return _split(ties, axes[0], sizes)
  for axis in axes:
    ties.freeze(axis, "a reshape of several axes that have channels")
  why = ties.because("a reshape of several axes that have channels")
  return [np.full(n, why if live else FIXED) for n in sizes]


def _split(ties: Ties, axis: Labels, sizes: list[int]) -> Axes:
  """Splits an axis: undoes a flattening, or folds it over the outer axes."""
  whole = axis.reshape(sizes)
  for i in range(len(sizes)):  # Do labels vary along this one alone?
    rows = np.moveaxis(whole, i, -1).reshape(-1, sizes[i])
    if (rows == rows[0]).all():
      break
  else:
    i, rows = len(sizes) - 1, whole.reshape(-1, sizes[-1])
    ties.tie(axis, np.tile(rows[0], len(rows)), "reshape")
  out = stays(sizes)
  out[i] = rows[0]
  return out


def _by_axis(
  move: Callable[[Any, Labels, int], Labels],
) -> Callable[[Ties, Any, list[Axes]], list[Axes]]:
  """Makes the rule of what moves the indices of each axis apart."""

  def rule(ties, equation, read):
    axes = enumerate(read[0])
    return [[move(equation.params, axis, i) for i, axis in axes]]

  return rule


def _slice(params, axis, i):
  step = params["strides"][i] if params["strides"] else 1
  return axis[params["start_indices"][i] : params["limit_indices"][i] : step]


def _flip(params, axis, i):
  return axis[::-1] if i in params["dimensions"] else axis


def _transpose(ties, equation, read):
  return [[read[0][i] for i in equation.params["permutation"]]]


def _squeeze(ties, equation, read):
  gone = equation.params["dimensions"]
  return [[axis for i, axis in enumerate(read[0]) if i not in gone]]


def _split_in_parts(ties, equation, read):
  at, sizes = equation.params["axis"], equation.params["sizes"]
  parts = np.split(read[0][at], np.cumsum(sizes)[:-1])
  return [[*read[0][:at], part, *read[0][at + 1 :]] for part in parts]


def _concatenate(ties, equation, read):
  at, out = equation.params["dimension"], []
  for i in range(len(read[0])):
    parts = [axes[i] for axes in read]
    if i == at:
      out.append(np.concatenate(parts))
      continue
    for other in parts[1:]:
      parts[0] = ties.tie(parts[0], other, "concatenate")
    out.append(parts[0])
  return [out]


def _pad(ties, equation, read):
  config, out = equation.params["padding_config"], []
  if any(low < 0 or high < 0 or inner for low, high, inner in config):
    return ties.refuse(read, "a padding between channels", equation.outvars)
  for axis, (low, high, _) in zip(read[0], config, strict=True):
    # Atoms of their own: what is added to a padded shortcut decides.
    parts = [ties.fresh(low), axis, ties.fresh(high)]
    out.append(np.concatenate(parts) if low or high else axis)
  return [out]


RULES: dict[str, Callable[[Ties, Any, list[Axes]], list[Axes]]] = {
  "reshape": _reshape,
  "slice": _by_axis(_slice),
  "rev": _by_axis(_flip),
  "transpose": _transpose,
  "squeeze": _squeeze,
  "split": _split_in_parts,
  "concatenate": _concatenate,
  "pad": _pad,
}
