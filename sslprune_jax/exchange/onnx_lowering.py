"""A jaxpr to a graph of ONNX: values, constants, and rules by primitive.

What depends on constants alone is computed here. Of the rest each array lies
as ONNX's convolutions want it, channels before space, and says how: so no
transposes are written but where a network mixes both.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from sslprune_jax.exchange.onnx_graph import Graph
from sslprune_jax.pruning.primitives import CALLS, ELEMENTWISE, jaxpr_of_call
from sslprune_jax.runtime import libraries

Shape = tuple[Any, ...]  # A size is a number, or a symbol of any batch.


class LoweringError(ValueError):
  """ONNX has no way here to say what a network does."""


@dataclasses.dataclass(frozen=True)
class Value:
  """An array that depends on the images.

  Attributes:
    name: name of it in the graph.
    shape: shape of it in the jaxpr.
    order: the jaxpr's axis that lies at each place of ONNX's array.
  """

  name: str
  shape: Shape
  order: tuple[int, ...]


# A constant may have 1 where its axis is longer: it is stretched where needed.
Operand = Value | np.ndarray
Rule = Callable[["Lowering", Any, list[Operand]], Operand | list[Operand]]


class Lowering:
  """Writes equations to a graph.

  Attributes:
    graph: graph; added to.
    splits: what each array was whose axes were split, and into which axes.
  """

  def __init__(self, rules: dict[str, Rule]):
    self.graph = Graph()
    self.splits: dict[Value, tuple[Value, list[list[int]]]] = {}
    self._rules = rules

  def run(
    self, jaxpr: ClosedJaxpr | Jaxpr, arguments: Sequence[Operand]
  ) -> list[Operand]:
    """Writes a jaxpr.

    Args:
      jaxpr: jaxpr of any kind.
      arguments: what goes in.

    Returns:
      What comes out.

    Raises:
      LoweringError: names a primitive that has no rule, or what it does.
    """
    constants = map(np.asarray, getattr(jaxpr, "consts", ()))
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    known: dict[Any, Operand] = {
      **dict(zip(jaxpr.constvars, constants, strict=True)),
      **dict(zip(jaxpr.invars, arguments, strict=True)),
    }

    def look(atom):
      if isinstance(atom, Literal):
        return np.asarray(atom.val, atom.aval.dtype)
      return known[atom]

    for equation in jaxpr.eqns:
      read = [look(atom) for atom in equation.invars]
      found = self._write(equation, read)
      known.update(zip(equation.outvars, found, strict=True))
    return [look(atom) for atom in jaxpr.outvars]

  def _write(self, equation: Any, read: list[Operand]) -> list[Operand]:
    name = equation.primitive.name
    if name in CALLS:
      return self.run(jaxpr_of_call(equation), read)
    if all(isinstance(x, np.ndarray) for x in read):
      return compute(equation, read)
    if name not in self._rules:
      raise LoweringError(f"the primitive {name} has no rule")
    found = self._rules[name](self, equation, read)
    return found if isinstance(found, list) else [found]

  def emit(
    self,
    kind: str,
    inputs: Sequence[str],
    shape: Shape,
    order: Sequence[int],
    **attributes: Any,
  ) -> Value:
    """Adds a node; returns what it gives."""
    name = self.graph.add(kind, *inputs, **attributes)
    return Value(name, tuple(shape), tuple(order))

  def arrange(self, value: Value, order: Sequence[int]) -> Value:
    """Returns a value whose array lies in an order of axes."""
    if value.order == tuple(order):
      return value
    turn = [value.order.index(axis) for axis in order]
    return self.emit("Transpose", [value.name], value.shape, order, perm=turn)

  def name_of(self, x: Operand, order: Sequence[int]) -> str:
    """Returns the name of an operand, turned to an order of axes.

    Args:
      x: value, or constant; either may have no axes.
      order: the jaxpr's axis that is to lie at each place.
    """
    if isinstance(x, Value):
      return self.arrange(x, order).name if x.shape else x.name
    return self.graph.constant(x.transpose(order) if x.ndim else x)


def compute(equation: Any, read: list[np.ndarray]) -> list[Operand]:
  """Computes what constants give.

  Args:
    equation: equation of a jaxpr.
    read: constants that it reads.

  Returns:
    Constants.

  Raises:
    LoweringError: they are of any batch.
  """
  name, params = equation.primitive.name, equation.params
  shapes = [out.aval.shape for out in equation.outvars]
  if name == "broadcast_in_dim":  # Stretched where it is needed.
    shape = [1] * len(params["shape"])
    for axis, size in zip(
      params["broadcast_dimensions"], read[0].shape, strict=True
    ):
      shape[axis] = size
    return [read[0].reshape(shape)]
  if name in ELEMENTWISE:
    read = list(np.broadcast_arrays(*read))
  else:
    read = [
      stretch(x, atom.aval.shape)
      for x, atom in zip(read, equation.invars, strict=True)
    ]
  if name not in ELEMENTWISE and any(map(_is_symbolic, shapes)):
    raise LoweringError(f"the primitive {name} makes an array of any batch")
  try:
    found = equation.primitive.bind(*map(jnp.asarray, read), **params)
  except Exception as error:  # How one fails is for JAX to say.
    reason = libraries.reason(error)
    raise LoweringError(f"the primitive {name} fails: {reason}") from error
  found = found if equation.primitive.multiple_results else [found]
  return list(map(np.asarray, found))


def stretch(x: np.ndarray, shape: Shape) -> np.ndarray:
  """Returns a constant in the shape that the jaxpr says."""
  if x.shape != shape and _is_symbolic(shape):
    raise LoweringError("a constant is repeated for every image")
  return np.broadcast_to(x, shape)


def _is_symbolic(shape: Shape) -> bool:
  return not all(isinstance(size, int) for size in shape)
