"""A ticket -> StableHLO by `jax.export`, loaded again and run."""

import pathlib

import jax
import numpy as np
from jax import export

from sslprune_jax.exchange.heads import network_of
from sslprune_jax.exchange.written import (
  OUTPUTS,
  ExportError,
  Reference,
)
from sslprune_jax.runtime import libraries

FILE = "model.jax_export"
PLATFORMS = ("cpu", "cuda", "tpu")


def write(reference: Reference, folder: pathlib.Path) -> list[str]:
  """Writes a network, its weights in it, for any batch and every platform.

  Args:
    reference: ticket, and what its files are held against.
    folder: folder that is there.

  Returns:
    A sentence on what takes the file.

  Raises:
    ExportError: the network is of one batch, or of some platforms alone, or
      what was written gives out something else.
  """
  ticket = reference.ticket
  network = network_of(ticket)

  def apply(images):
    read = reference.from_file(images)
    outputs = network.apply(ticket.variables, read, train=False)
    return {name: outputs[name] for name in OUTPUTS}

  shape = (*export.symbolic_shape("batch"), *ticket.image_shape)
  images = jax.ShapeDtypeStruct(shape, np.float32)
  try:
    with jax.default_matmul_precision("highest"):  # It is in the file.
      exported = export.export(jax.jit(apply), platforms=PLATFORMS)(images)
  # How a layer of a user's fails, is for JAX to say.
  except Exception as error:
    raise ExportError(
      "--format=jax: found a network that does not lower for a batch of any "
      f"size on {', '.join(PLATFORMS)} ({libraries.reason(error)})"
    ) from error
  path = folder / FILE
  path.write_bytes(exported.serialize())
  again = export.deserialize(bytearray(path.read_bytes()))
  reference.check(
    FILE,
    lambda images: again.call(images)["logits"],
    computes=True,
  )
  return [
    f"`{FILE}` is StableHLO for {', '.join(PLATFORMS)}, of any batch: "
    "`jax.export.deserialize` of JAX reads it, and its `call` maps "
    f"{reference.images}, f32[batch, height, width, channels], to `features` "
    "and `logits`, all products in float32 "
    f"(JAX {jax.__version__} wrote it, calling convention "
    f"{exported.calling_convention_version})."
  ]
