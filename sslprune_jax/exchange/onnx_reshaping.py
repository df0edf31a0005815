"""What primitives are in ONNX that move numbers and compute nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sslprune_jax.exchange.onnx_lowering import (
  Lowering,
  LoweringError,
  Rule,
  Shape,
  Value,
  stretch,
)

_TO_THE_FIRST = np.iinfo(np.int64).min  # Where a slice that runs back ends.


def _reshape(low, equation, read):
  (x,), shape = read, equation.outvars[0].aval.shape
  if equation.params.get("dimensions") is not None:
    raise LoweringError("a reshape transposes")
  parts = _split_axes(x.shape, shape)
  if parts is None:  # Axes are joined, in the order of the jaxpr.
    x = low.arrange(x, range(len(x.shape)))
    return _resize(low, x, shape, range(len(shape)))
  order = [axis for old in x.order for axis in parts[old]]
  found = _resize(low, x, shape, order)
  low.splits[found] = x, parts
  return found


def _resize(
  low: Lowering, x: Value, shape: Shape, order: Sequence[int]
) -> Value:
  sizes = [shape[axis] for axis in order]
  sizes = [size if isinstance(size, int) else -1 for size in sizes]
  if sizes.count(-1) > 1:
    raise LoweringError("a reshape has two sizes that the batch decides")
  places = low.graph.places(*sizes)
  return low.emit("Reshape", [x.name, places], shape, order)


def _split_axes(old: Shape, new: Shape) -> list[list[int]] | None:
  """Returns which new axes each old one becomes; None where some are joined."""
  parts, at = [], 0
  for size in old:
    part: list[int] = []
    found: Any = 1
    while found != size:
      # Of a symbol only whether it is the same can be told.
      if at == len(new) or (part and not _is_less(found, size)):
        return None
      part, found, at = [*part, at], found * new[at], at + 1
    parts.append(part)
  if any(size != 1 for size in new[at:]):
    return None
  parts[-1] += range(at, len(new))
  return parts


def _is_less(found: Any, size: Any) -> bool:
  return isinstance(found, int) and isinstance(size, int) and found < size


def _broadcast(low, equation, read):
  (x, *more), shape = read, equation.params["shape"]
  at = equation.params["broadcast_dimensions"]
  new = [axis for axis in range(len(shape)) if axis not in at]
  order = [*(at[axis] for axis in x.order), *new]
  if new:
    places = low.graph.places(*range(len(at), len(shape)))
    x = low.emit("Unsqueeze", [x.name, places], shape, order)
  own = [1] * len(shape)
  for axis, size in zip(at, equation.invars[0].aval.shape, strict=True):
    own[axis] = size
  if all(own[axis] == shape[axis] for axis in order):
    return Value(x.name, shape, tuple(order))
  sizes = [1 if own[axis] == shape[axis] else shape[axis] for axis in order]
  if more or not all(isinstance(size, int) for size in sizes):
    raise LoweringError("an array is repeated for every image")
  places = low.graph.places(*sizes)
  return low.emit("Expand", [x.name, places], shape, order)


def _squeeze(low, equation, read):
  return _drop(low, read[0], equation.params["dimensions"])


def _drop(low: Lowering, x: Value, gone: Sequence[int]) -> Value:
  """Drops axes of one index."""
  if not gone:
    return x
  left = [axis for axis in range(len(x.shape)) if axis not in gone]
  order = [left.index(axis) for axis in x.order if axis in left]
  places = low.graph.places(*(x.order.index(axis) for axis in gone))
  shape = [x.shape[axis] for axis in left]
  return low.emit("Squeeze", [x.name, places], shape, order)


def _transpose(low, equation, read):
  (x,), turn = read, equation.params["permutation"]
  order = tuple(turn.index(axis) for axis in x.order)
  return Value(x.name, equation.outvars[0].aval.shape, order)


def _slice(low, equation, read):
  (x,), params = read, equation.params
  steps = params["strides"] or (1,) * len(x.shape)
  starts, ends = params["start_indices"], params["limit_indices"]
  return _cut(low, x, equation.outvars[0].aval.shape, starts, ends, steps)


def _gather(low, equation, read):
  """Writes a slice, or a choice along an axis.

  JAX gathers slices where the batch is of any size.
  """
  (x, at), params = read, equation.params
  numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
  axes, rank = numbers.start_index_map, len(sizes)
  if not isinstance(at, np.ndarray):
    raise LoweringError("the primitive gather picks by what it computes")
  for axis, places in zip(axes, at.reshape(-1, len(axes)).T, strict=True):
    if places.min() < 0 or places.max() > x.shape[axis] - sizes[axis]:
      raise LoweringError("the primitive gather picks beyond an end")
  if at.ndim == 1:
    starts = [0] * rank
    for axis, start in zip(axes, at.tolist(), strict=True):
      starts[axis] = start
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    box = _cut(low, x, sizes, starts, ends, [1] * rank)
    return _drop(low, box, numbers.collapsed_slice_dims)
  others = tuple(axis for axis in range(rank) if axis not in axes)
  if len(axes) > 1 or at.ndim > 2 or numbers.offset_dims != others:
    raise LoweringError("the primitive gather picks along several axes")
  names = [x.name, low.graph.places(*at[:, 0])]
  shape, place = equation.outvars[0].aval.shape, x.order.index(axes[0])
  return low.emit("Gather", names, shape, x.order, axis=place)


def _flip(low, equation, read):
  (x,), axes = read, equation.params["dimensions"]
  back = [axis in axes for axis in range(len(x.shape))]
  starts = [-1 if turns else 0 for turns in back]
  ends = [
    _TO_THE_FIRST if turns else size
    for turns, size in zip(back, x.shape, strict=True)
  ]
  steps = [-1 if turns else 1 for turns in back]
  return _cut(low, x, x.shape, starts, ends, steps)


def _cut(low, x, shape, starts, ends, steps):
  cuts = [
    (start, end, x.order.index(axis), step)
    for axis, (start, end, step) in enumerate(
      zip(starts, ends, steps, strict=True)
    )
    if (start, step) != (0, 1) or end != x.shape[axis]
  ]
  if not all(isinstance(n, int) for cut in cuts for n in cut):
    raise LoweringError("a slice is cut out of the batch")
  if not cuts:
    return x
  names = [low.graph.places(*numbers) for numbers in zip(*cuts, strict=True)]
  return low.emit("Slice", [x.name, *names], shape, x.order)


def _split(low, equation, read):
  (x,), params = read, equation.params
  end, found = 0, []
  for out, size in zip(equation.outvars, params["sizes"], strict=True):
    start, end = end, end + size
    cut = low.graph.places(start), low.graph.places(end)
    place = low.graph.places(x.order.index(params["axis"]))
    inputs = [x.name, *cut, place]
    found.append(low.emit("Slice", inputs, out.aval.shape, x.order))
  return found


def _concatenate(low, equation, read):
  order = next(x.order for x in read if isinstance(x, Value))
  names = [
    low.name_of(
      x if isinstance(x, Value) else stretch(x, atom.aval.shape), order
    )
    for x, atom in zip(read, equation.invars, strict=True)
  ]
  place = order.index(equation.params["dimension"])
  shape = equation.outvars[0].aval.shape
  return low.emit("Concat", names, shape, order, axis=place)


def _stack(low, equation, read):
  at, size = equation.params["axis"], len(equation.outvars[0].aval.shape)
  order = next(x.order for x in read if isinstance(x, Value))
  order = [axis + (axis >= at) for axis in order]
  names = []
  for x, atom in zip(read, equation.invars, strict=True):
    if not isinstance(x, Value):
      x = np.expand_dims(stretch(x, atom.aval.shape), at)
      names.append(low.name_of(x, [*order, at]))
      continue
    x = low.arrange(x, [axis - (axis > at) for axis in order])
    names.append(low.graph.add("Unsqueeze", x.name, low.graph.places(size - 1)))
  shape = equation.outvars[0].aval.shape
  return low.emit("Concat", names, shape, [*order, at], axis=size - 1)


def _pad(low, equation, read):
  (x, filling), config = read, equation.params["padding_config"]
  if any(inner for _, _, inner in config):
    raise LoweringError("a padding stands between numbers")
  if isinstance(filling, Value):
    raise LoweringError("a padding is computed from the images")
  config = [config[axis] for axis in x.order]
  pads = [before for before, *_ in config] + [after for _, after, _ in config]
  inputs = [x.name, low.graph.places(*pads), low.graph.constant(filling)]
  return low.emit("Pad", inputs, equation.outvars[0].aval.shape, x.order)


RULES: dict[str, Rule] = {
  "reshape": _reshape,
  "broadcast_in_dim": _broadcast,
  "squeeze": _squeeze,
  "transpose": _transpose,
  "slice": _slice,
  "gather": _gather,
  "stack": _stack,
  "rev": _flip,
  "split": _split,
  "concatenate": _concatenate,
  "pad": _pad,
}
