"""An ONNX graph to be: nodes and constants, put in order and written."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sslprune_jax import __version__

# Of 2022: ONNX Runtime 1.12, OpenVINO, TensorRT and browsers read it.
OPSET, _IR_VERSION = 17, 8
BATCH = "batch"


@dataclasses.dataclass
class Node:
  """An operation of ONNX.

  Attributes:
    kind: name of the operation.
    inputs: names of what it reads.
    output: name of what it gives.
    attributes: attributes of ONNX.
  """

  kind: str
  inputs: list[str]
  output: str
  attributes: dict[str, Any]


class Graph:
  """Nodes in the order in which they run, and the constants they read.

  Attributes:
    nodes: nodes.
    constants: arrays by name.
    outputs: names of what the graph gives -> the values that they are.
  """

  def __init__(self):
    self.nodes: list[Node] = []
    self.constants: dict[str, np.ndarray] = {}
    self.outputs: dict[str, str] = {}

  def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
    """Adds a node; returns the name of what it gives."""
    name = f"{kind.lower()}_{len(self.nodes)}"
    self.nodes.append(Node(kind, list(inputs), name, attributes))
    return name

  def constant(self, array: Any, dtype: Any = None) -> str:
    """Adds a constant of any shape; returns its name."""
    name = f"constant_{len(self.constants)}"
    self.constants[name] = np.asarray(array, dtype, order="C")
    return name

  def places(self, *numbers: int) -> str:
    """Adds a constant of axes, sizes or places; returns its name."""
    return self.constant(numbers, np.int64)

  def fold(self) -> None:
    """Folds batch norm and biases into convolutions and dense layers.

    What multiplies or moves the channels of one by constants, and alone reads
    it, becomes part of its weights.
    """
    readers: dict[str, int] = {}
    for name in (*self.outputs.values(), *_names(self.nodes)):
      readers[name] = readers.get(name, 0) + 1
    layers: dict[str, Node] = {}
    left = []
    for node in self.nodes:
      layer = layers.get(node.inputs[0]) if node.inputs else None
      if layer and readers[layer.output] == 1 and self._fold(node, layer):
        layer.output = node.output
        layers[layer.output] = layer
        continue
      left.append(node)
      if node.kind in ("Conv", "Gemm") and node.inputs[1] in self.constants:
        layers[node.output] = node
    self.nodes = left

  def _fold(self, node: Node, layer: Node) -> bool:
    """Folds a node that reads a layer into it; returns whether it could."""
    if node.kind not in ("Add", "Sub", "Mul", "Div"):
      return False
    number = self.constants.get(node.inputs[1])
    if number is None:
      return False
    kernel = self.constants[layer.inputs[1]]
    is_conv = layer.kind == "Conv"
    width = kernel.shape[0 if is_conv else -1]
    shape = (1, width, *(1,) * (kernel.ndim - 2)) if is_conv else (1, width)
    try:
      by_channel = np.broadcast_to(number, shape).reshape(-1)
    except ValueError:  # It is of pixels too.
      return False
    bias = np.zeros(width, np.float32)
    if len(layer.inputs) > 2:
      bias = self.constants[layer.inputs[2]]
    if node.kind in ("Mul", "Div"):
      factor = by_channel if node.kind == "Mul" else 1 / by_channel
      axes = (-1, *(1,) * (kernel.ndim - 1)) if is_conv else (1, -1)
      kernel, bias = kernel * factor.reshape(axes), bias * factor
    else:
      bias = bias + by_channel if node.kind == "Add" else bias - by_channel
    names = [self.constant(array, np.float32) for array in (kernel, bias)]
    layer.inputs = [layer.inputs[0], *names]
    return True

  def prune(self) -> None:
    """Drops nodes that nothing reads, and constants."""
    read, left = set(self.outputs.values()), []
    for node in reversed(self.nodes):
      if node.output in read:
        read |= set(node.inputs)
        left.append(node)
    self.nodes = left[::-1]
    self.constants = {k: v for k, v in self.constants.items() if k in read}

  def write(
    self,
    inputs: Mapping[str, Sequence[Any]],
    outputs: Mapping[str, Sequence[Any]],
  ) -> bytes:
    """Writes the graph as a file of ONNX.

    Args:
      inputs: shapes of what it reads, by name, f32; a text names a size.
      outputs: shapes of its outputs.
    """
    import onnx
    from onnx import helper, numpy_helper

    def declare(shapes):
      return [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
      ]

    nodes = [
      helper.make_node(n.kind, n.inputs, [n.output], n.output, **n.attributes)
      for n in self.nodes
    ]
    nodes += [
      helper.make_node("Identity", [value], [name], name)
      for name, value in self.outputs.items()
    ]
    constants = [
      numpy_helper.from_array(array, name)
      for name, array in self.constants.items()
    ]
    model = helper.make_model(
      helper.make_graph(
        nodes, "network", declare(inputs), declare(outputs), constants
      ),
      producer_name="sslprune_jax",
      producer_version=__version__,
      opset_imports=[helper.make_opsetid("", OPSET)],
      ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _names(nodes: Sequence[Node]) -> list[str]:
  return [name for node in nodes for name in node.inputs]
