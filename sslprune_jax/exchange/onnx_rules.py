"""What each primitive of a jaxpr is in ONNX: arithmetic, layers and sums."""

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from sslprune_jax.exchange import onnx_reshaping, onnx_windows
from sslprune_jax.exchange.onnx_lowering import (
  Lowering,
  LoweringError,
  Operand,
  Rule,
  Value,
  stretch,
)

# Of the same meaning in both.
_SAME = {
  **{"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"},
  **{"max": "Max", "min": "Min", "pow": "Pow", "neg": "Neg", "abs": "Abs"},
  **{"sign": "Sign", "floor": "Floor", "ceil": "Ceil", "sqrt": "Sqrt"},
  **{"exp": "Exp", "log": "Log", "sin": "Sin", "cos": "Cos", "tan": "Tan"},
  **{"tanh": "Tanh", "logistic": "Sigmoid", "erf": "Erf", "not": "Not"},
  **{"and": "And", "or": "Or", "xor": "Xor", "eq": "Equal", "lt": "Less"},
  **{"le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"},
}
_COMMUTES = ("add", "add_any", "mul", "max", "min")
_REDUCES = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}
_REDUCES |= {"reduce_sum": "ReduceSum", "reduce_prod": "ReduceProd"}


def elementwise(
  low: Lowering, equation: Any, read: Sequence[Operand], kind: str
) -> Value:
  """Writes what combines numbers at the same place.

  Args:
    low: lowering.
    equation: equation.
    read: operands; at least one is no constant.
    kind: name of ONNX's operation.
  """
  values = [x for x in read if isinstance(x, Value)]
  order = max((x.order for x in values), key=len)
  names = [low.name_of(x, order) for x in read]
  return low.emit(kind, names, equation.outvars[0].aval.shape, order)


def _same(low, equation, read):
  name = equation.primitive.name
  if name in _COMMUTES:  # Constants last, where folding looks for them.
    read = sorted(read, key=lambda x: isinstance(x, np.ndarray))
  last = read[-1]
  is_relu = name == "max" and isinstance(last, np.ndarray) and not last.any()
  if is_relu and last.size == 1:
    return elementwise(low, equation, read[:1], "Relu")
  return elementwise(low, equation, read, _SAME[name])


def _like(array: float, x: Any) -> np.ndarray:
  return np.asarray(array, x.aval.dtype)


def _in_two_steps(low, equation, read):
  """Writes what ONNX says in two operations."""
  (x,), (atom,) = read, equation.invars
  match equation.primitive.name:
    case "square":
      return elementwise(low, equation, [x, x], "Mul")
    case "rsqrt":
      root = elementwise(low, equation, [x], "Sqrt")
      return elementwise(low, equation, [root], "Reciprocal")
    case "expm1":
      power = elementwise(low, equation, [x], "Exp")
      return elementwise(low, equation, [power, _like(1, atom)], "Sub")
    case "log1p":
      more = elementwise(low, equation, [x, _like(1, atom)], "Add")
      return elementwise(low, equation, [more], "Log")
    case "integer_pow":
      power = _like(equation.params["y"], atom)
      return elementwise(low, equation, [x, power], "Pow")


def _not_equal(low, equation, read):
  same = elementwise(low, equation, read, "Equal")
  return elementwise(low, equation, [same], "Not")


def _clamp(low, equation, read):
  least, x, most = read
  x = elementwise(low, equation, [x, least], "Max")
  return elementwise(low, equation, [x, most], "Min")


def _select(low, equation, read):
  which, *cases = read
  if len(cases) != 2 or equation.invars[0].aval.dtype != bool:
    raise LoweringError("the primitive select_n chooses among more than two")
  return elementwise(low, equation, [which, *cases[::-1]], "Where")


def _convert(low, equation, read):
  from onnx import helper

  dtype = equation.params["new_dtype"]
  if dtype == equation.invars[0].aval.dtype:
    return read
  (x,), to = read, helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
  return low.emit("Cast", [x.name], x.shape, x.order, to=to)


def _as_it_is(low, equation, read):
  return list(read)


def _dot(low, equation, read):
  (sums, batch), (x, y) = equation.params["dimension_numbers"], read
  shape = equation.outvars[0].aval.shape
  ranks = [len(atom.aval.shape) for atom in equation.invars]
  if isinstance(y, np.ndarray) and ranks == [2, 2] and sums == ((1,), (0,)):
    y = low.graph.constant(stretch(y, equation.invars[1].aval.shape))
    x = low.arrange(x, (0, 1))
    return low.emit("Gemm", [x.name, y], shape, (0, 1))
  letters = iter(string.ascii_letters)
  words = [[next(letters) for _ in range(rank)] for rank in ranks]
  for i, j in zip((*batch[0], *sums[0]), (*batch[1], *sums[1]), strict=True):
    words[1][j] = words[0][i]
  kept = [words[0][i] for i in batch[0]]
  for word, gone in zip(words, zip(batch, sums, strict=True), strict=True):
    kept += [c for i, c in enumerate(word) if i not in (*gone[0], *gone[1])]
  names = [
    low.name_of(
      stretch(operand, atom.aval.shape)
      if isinstance(operand, np.ndarray)
      else operand,
      range(rank),
    )
    for operand, atom, rank in zip(read, equation.invars, ranks, strict=True)
  ]
  text = f"{','.join(map(''.join, words))}->{''.join(kept)}"
  return low.emit("Einsum", names, shape, range(len(shape)), equation=text)


def _reduce(low, equation, read):
  (x,), axes = read, equation.params["axes"]
  name, shape = equation.primitive.name, equation.outvars[0].aval.shape
  if not axes:
    return x
  if name == "reduce_max" and x in low.splits:
    pooled = onnx_windows.halve(low, equation, x, axes)
    if pooled:
      return pooled
  left = [axis for axis in range(len(x.shape)) if axis not in axes]
  order = [left.index(axis) for axis in x.order if axis in left]
  places = [x.order.index(axis) for axis in axes]
  if name == "reduce_sum":
    inputs = [x.name, low.graph.places(*places)]
    return low.emit("ReduceSum", inputs, shape, order, keepdims=0)
  return low.emit(
    _REDUCES[name], [x.name], shape, order, axes=places, keepdims=0
  )


def _window(low, equation, read):
  (x,), params = read, equation.params
  windows = params["window_dimensions"]
  dilated = (*params["base_dilation"], *params["window_dilation"])
  if set(dilated) != {1}:
    raise LoweringError("dilated windows are pooled")
  found = windows, params["window_strides"], params["padding"]
  if equation.primitive.name == "reduce_window_max":
    return onnx_windows.pool(low, equation, x, "MaxPool", *found)
  mean = onnx_windows.pool(
    low, equation, x, "AveragePool", *found, count_include_pad=1
  )
  count = _like(np.prod(windows), equation.invars[0])
  return elementwise(low, equation, [mean, count], "Mul")


RULES: dict[str, Rule] = {
  **dict.fromkeys(_SAME, _same),
  **dict.fromkeys(("square", "rsqrt", "expm1", "log1p"), _in_two_steps),
  "integer_pow": _in_two_steps,
  "ne": _not_equal,
  "clamp": _clamp,
  "select_n": _select,
  "convert_element_type": _convert,
  **dict.fromkeys(("write_once", "copy", "copy_p", "name"), _as_it_is),
  **dict.fromkeys(("stop_gradient", "optimization_barrier"), _as_it_is),
  "conv_general_dilated": onnx_windows.convolution,
  "dot_general": _dot,
  **dict.fromkeys(("reduce_sum", *_REDUCES), _reduce),
  **dict.fromkeys(("reduce_window_max", "reduce_window_sum"), _window),
  **onnx_reshaping.RULES,
}
