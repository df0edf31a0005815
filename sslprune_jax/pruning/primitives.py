"""What each primitive of a jaxpr ties: rules by name, a default that freezes.

A rule is `(ties, equation, labels of the operands) -> labels of the results`.
What has no rule freezes all that it reads, and what it gives is fixed too and
knows the name: a network that a new JAX traces otherwise loses groups, and
never one member of a group.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from sslprune_jax.pruning import reshaping
from sslprune_jax.pruning.ties import Axes, Ties, stays

Rule = Callable[[Ties, Any, list[Axes]], list[Axes]]

CALLS = (
  *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2"),
  *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
)
ELEMENTWISE = (
  *("add", "sub", "mul", "div", "rem", "pow", "max", "min", "add_any"),
  *("neg", "abs", "sign", "floor", "ceil", "round", "square", "sqrt", "rsqrt"),
  *("cbrt", "exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan"),
  *("tanh", "logistic", "erf", "erfc", "atan2", "integer_pow", "is_finite"),
  *("not", "and", "or", "xor", "eq", "ne", "lt", "le", "gt", "ge"),
  *("select_n", "clamp", "convert_element_type", "reduce_precision"),
  *("copy", "copy_p", "stop_gradient", "name"),
  "write_once",  # Our own, of `models.layers`.
)


def run(ties: Ties, jaxpr: Jaxpr, arguments: list[Axes]) -> list[Axes]:
  """Runs the labels of the arguments through a jaxpr.

  Args:
    ties: what goes together; added to.
    jaxpr: jaxpr whose constants are fixed.
    arguments: labels of what goes in.

  Returns:
    Labels of what comes out.
  """
  known = dict(zip(jaxpr.invars, arguments, strict=True))

  def look(atom):
    # Kept by call: JAX shares the inner jaxpr of functions called twice.
    is_known = not isinstance(atom, Literal) and atom in known
    return known[atom] if is_known else stays(atom.aval.shape)

  for equation in jaxpr.eqns:
    rule = RULES.get(equation.primitive.name, _unknown)
    found = rule(ties, equation, [look(atom) for atom in equation.invars])
    known.update(zip(equation.outvars, found, strict=True))
  return [look(atom) for atom in jaxpr.outvars]


def _unknown(ties: Ties, equation: Any, read: list[Axes]) -> list[Axes]:
  return ties.refuse(
    read, f"no rule for {equation.primitive}", equation.outvars
  )


def jaxpr_of_call(equation: Any) -> ClosedJaxpr | Jaxpr:
  """Returns what an equation of one of `CALLS` calls."""
  return next(
    value
    for value in equation.params.values()
    if isinstance(value, (ClosedJaxpr, Jaxpr))
  )


def _call(ties, equation, read):
  inner = jaxpr_of_call(equation)
  return run(ties, getattr(inner, "jaxpr", inner), read)


def _elementwise(ties, equation, read):
  def meet(axis, n):
    # A scalar has no axes, and an axis of 1 is stretched.
    first, *rest = [x[axis] for x in read if x and len(x[axis]) == n]
    for other in rest:
      first = ties.tie(first, other, equation.primitive.name)
    return first

  shape = equation.outvars[0].aval.shape
  return [[meet(axis, n) for axis, n in enumerate(shape)]]


def _barrier(ties, equation, read):
  return read


def _convolution(ties, equation, read):
  (x, kernel), params = read, equation.params
  lhs, rhs, out = params["dimension_numbers"]
  groups = params["feature_group_count"]
  if params["batch_group_count"] > 1:
    why = "a convolution in groups of images"
    return ties.refuse(read, why, equation.outvars)
  for axis in [x[i] for i in lhs[2:]] + [kernel[i] for i in rhs[2:]]:
    ties.freeze(axis, "the window of a convolution")
  inputs, outputs, name = x[lhs[1]], kernel[rhs[0]], "a convolution in groups"
  if groups == len(inputs) > 1:  # Depthwise: a channel's outputs go with it.
    ties.grouped.append(outputs)
    ties.tie(outputs, np.repeat(inputs, len(outputs) // groups), name)
  else:
    ties.tie(inputs, np.tile(kernel[rhs[1]], groups), "a convolution")
    if groups > 1:  # Each group loses the same places.
      first = outputs[: len(outputs) // groups]
      ties.tie(outputs, np.tile(first, groups), name)
  shape = equation.outvars[0].aval.shape
  given = {out[0]: x[lhs[0]], out[1]: outputs}
  return [[given.get(i, np.zeros(n, int)) for i, n in enumerate(shape)]]


def _dot(ties, equation, read):
  (sums, batch), (x, y) = equation.params["dimension_numbers"], read
  kept = [ties.tie(x[i], y[j], "dot") for i, j in zip(*batch, strict=True)]
  for i, j in zip(*sums, strict=True):
    ties.tie(x[i], y[j], "dot")
  for axes, summed, shared in zip(read, sums, batch, strict=True):
    gone = (*summed, *shared)
    kept += [axis for i, axis in enumerate(axes) if i not in gone]
  return [kept]


def _broadcast(ties, equation, read):
  # New axes get atoms of their own: what meets them decides.
  at = equation.params["broadcast_dimensions"]
  given = dict(zip(at, read[0], strict=True))
  shape = equation.outvars[0].aval.shape
  return [
    [
      given[i] if i in given and len(given[i]) == n else ties.axis(n)
      for i, n in enumerate(shape)
    ]
  ]


def _reduce(ties, equation, read):
  summed = equation.params["axes"]
  for i in summed:  # A mean's count is a constant: it would be another mean.
    ties.freeze(read[0][i], f"{equation.primitive.name} over channels")
  return [[axis for i, axis in enumerate(read[0]) if i not in summed]]


def _window(ties, equation, read):
  params, (shape,) = equation.params, (equation.outvars[0].aval.shape,)
  out = []
  for i, (axis, n) in enumerate(zip(read[0], shape, strict=True)):
    if params["window_dimensions"][i] == 1 and n == len(axis):
      out.append(axis)
      continue
    ties.freeze(axis, f"{equation.primitive.name} over channels")
    out.append(np.zeros(n, int))
  return [out]


RULES: dict[str, Rule] = {
  **dict.fromkeys(CALLS, _call),
  **dict.fromkeys(ELEMENTWISE, _elementwise),
  **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min"), _reduce),
  **dict.fromkeys(("reduce_prod", "reduce_and", "reduce_or"), _reduce),
  **dict.fromkeys(("argmax", "argmin"), _reduce),
  **dict.fromkeys(("reduce_window_max", "reduce_window_sum"), _window),
  **dict.fromkeys(("reduce_window_min",), _window),
  "optimization_barrier": _barrier,
  "conv_general_dilated": _convolution,
  "dot_general": _dot,
  "broadcast_in_dim": _broadcast,
  **reshaping.RULES,
}
