"""A ticket -> ONNX, read again and run by ONNX Runtime."""

import importlib.util
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from jax import export

from sslprune_jax.exchange.heads import network_of
from sslprune_jax.exchange.onnx_graph import BATCH, OPSET
from sslprune_jax.exchange.onnx_lowering import (
  Lowering,
  LoweringError,
  Value,
)
from sslprune_jax.exchange.onnx_rules import RULES
from sslprune_jax.exchange.written import (
  OUTPUTS,
  ExportError,
  Reference,
)
from sslprune_jax.runtime import libraries

FILE = "model.onnx"
_IMAGES = "images"
_ORDER = (0, 3, 1, 2)  # As in PyTorch: channels before space.


def write(reference: Reference, folder: pathlib.Path) -> list[str]:
  """Writes a network, its batch norm folded into its convolutions.

  Args:
    reference: ticket, and what its files are held against.
    folder: folder that is there.

  Returns:
    A sentence on what takes the file.

  Raises:
    ExportError: the network does what ONNX has no words for here, or what was
      written gives out something else.
  """
  path = folder / FILE
  try:
    path.write_bytes(convert(reference))
  except LoweringError as error:
    raise ExportError(
      f"--format=onnx: found a network that ONNX has no words for ({error})"
    ) from None
  reference.check(FILE, load(path), computes=True)
  return [
    f"`{FILE}` is ONNX (operators of version {OPSET}) with batch norm folded "
    f"into convolutions: it maps `{_IMAGES}`, {reference.images}, f32[batch, "
    "channels, height, width] as PyTorch has them, of any batch, to `features` "
    "and `logits`."
  ]


def check_installed(option: str = "--format=onnx") -> None:
  """Refuses an option that needs the extra `onnx` where it is not there."""
  for module in ("onnx", "onnxruntime"):
    if not importlib.util.find_spec(module):
      raise ExportError(
        f"{option}: found no {module}, expected it: pip install "
        "'sslprune-jax[onnx]'"
      )


def convert(reference: Reference) -> bytes:
  """Returns a ticket's network as a file of ONNX.

  Args:
    reference: ticket, and what its files are held against.

  Raises:
    ExportError: the network is of one batch.
    LoweringError: it does what has no rule.
  """
  ticket = reference.ticket
  network = network_of(ticket)

  def apply(variables, images):
    read = reference.from_file(images)
    outputs = network.apply(variables, read, train=False)
    return [outputs[name] for name in OUTPUTS]

  shape = (*export.symbolic_shape(BATCH), *ticket.image_shape)
  images = jax.ShapeDtypeStruct(shape, np.float32)
  try:
    traced = jax.jit(apply).trace(ticket.variables, images).jaxpr
  # How a layer of a user's fails, is for JAX to say.
  except Exception as error:
    raise ExportError(
      "--format=onnx: found a network that does not trace for a batch of any "
      f"size ({libraries.reason(error)})"
    ) from error
  low = Lowering(RULES)
  arguments = list(map(np.asarray, jax.tree.leaves(ticket.variables)))
  found = low.run(traced, [*arguments, Value(_IMAGES, shape, _ORDER)])
  low.graph.outputs = {
    name: low.name_of(value, range(2))
    for name, value in zip(OUTPUTS, found, strict=True)
  }
  low.graph.fold()
  low.graph.prune()
  inputs = [BATCH, *(ticket.image_shape[i - 1] for i in _ORDER[1:])]
  return low.graph.write(
    {_IMAGES: inputs},
    {
      name: [BATCH, value.shape[1]]
      for name, value in zip(OUTPUTS, found, strict=True)
    },
  )


def load(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
  """Loads a file into ONNX Runtime.

  Args:
    path: file of ONNX.

  Returns:
    A function of what it takes, f32[N,H,W,C], to logits f32[N,K].

  Raises:
    ExportError: ONNX Runtime refuses the file.
  """
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # Errors alone, which are raised.
  try:
    session = onnxruntime.InferenceSession(
      str(path), options, providers=["CPUExecutionProvider"]
    )
  except Exception as error:  # Its classes have no common one of their own.
    raise ExportError(
      f"{path.name}: found a file that ONNX Runtime refuses "
      f"({libraries.reason(error)})"
    ) from None

  return lambda images: session.run(["logits"], feed(images))[0]


def feed(images: np.ndarray) -> dict[str, np.ndarray]:
  """Returns what a file reads of images f32[N,H,W,C], by name."""
  return {_IMAGES: np.ascontiguousarray(images.transpose(_ORDER))}
