"""What moves over images in ONNX: convolutions and pools."""

from collections.abc import Sequence
from typing import Any

from sslprune_jax.exchange.onnx_lowering import (
  Lowering,
  LoweringError,
  Operand,
  Value,
)


def convolution(low: Lowering, equation: Any, read: list[Operand]) -> Value:
  """Writes a convolution, whose array lies channels first.

  Args:
    low: lowering.
    equation: equation.
    read: images and kernel.
  """
  params = equation.params
  lhs, rhs, out = params["dimension_numbers"]
  if params["batch_group_count"] > 1 or set(params["lhs_dilation"]) != {1}:
    raise LoweringError("a convolution is a transposed one")
  return low.emit(
    "Conv",
    [low.name_of(x, order) for x, order in zip(read, (lhs, rhs), strict=True)],
    equation.outvars[0].aval.shape,
    out,
    group=params["feature_group_count"],
    strides=params["window_strides"],
    dilations=params["rhs_dilation"],
    pads=_pads(params["padding"]),
  )


def _pads(padding: Sequence[tuple[int, int]]) -> list[int]:
  """Returns paddings in ONNX's order: all before, then all after."""
  if any(low < 0 or high < 0 for low, high in padding):
    raise LoweringError("a window has a padding below 0")
  return [low for low, _ in padding] + [high for _, high in padding]


def halve(
  low: Lowering, equation: Any, x: Value, axes: Sequence[int]
) -> Value | None:
  """Writes a maximum over the inner parts of axes that were split.

  Args:
    low: lowering.
    equation: equation.
    x: value of a reshape that split axes.
    axes: axes of the maximum.

  Returns:
    None where they are not such parts, and all of them, or no window of
    ONNX's over images is what they are.
  """
  whole, parts = low.splits[x]
  inner = {i: part[1] for i, part in enumerate(parts) if len(part) == 2}
  if (
    len(whole.shape) != 4
    or len(inner) > 2
    or any(len(part) not in (1, 2) for part in parts)
    or sorted(inner.values()) != sorted(axes)
  ):
    return None
  windows = [x.shape[inner[i]] if i in inner else 1 for i in range(4)]
  none = [(0, 0)] * len(windows)
  return pool(low, equation, whole, "MaxPool", windows, windows, none)


def pool(
  low: Lowering,
  equation: Any,
  x: Value,
  kind: str,
  windows: Sequence[int],
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  **attributes: Any,
) -> Value:
  """Writes windows that move over two axes of four.

  Args:
    low: lowering.
    equation: equation.
    x: value that is pooled.
    kind: name of ONNX's operation.
    windows: size of the window along each axis.
    strides: stride along each axis.
    padding: padding of each axis, before and after.
    **attributes: further attributes of ONNX.
  """
  outer = [
    axis
    for axis in range(len(windows))
    if (windows[axis], strides[axis], tuple(padding[axis])) == (1, 1, (0, 0))
  ]
  if len(windows) - len(outer) > 2 or len(windows) != 4:
    raise LoweringError(f"windows of {tuple(windows)} are pooled")
  order = x.order
  if not set(order[:2]) <= set(outer):
    inner = [axis for axis in range(4) if axis not in outer]
    spare = [axis for axis in outer[::-1] if axis][: 2 - len(inner)]
    inner = sorted((*inner, *spare))
    order = [axis for axis in (0, 3, 1, 2) if axis not in inner] + inner
  space = order[2:]
  return low.emit(
    kind,
    [low.arrange(x, order).name],
    equation.outvars[0].aval.shape,
    order,
    kernel_shape=[windows[axis] for axis in space],
    strides=[strides[axis] for axis in space],
    pads=_pads([padding[axis] for axis in space]),
    **attributes,
  )
