"""Devices: the only file that names `pmap`.

State is replicated without a device axis; a batch carries the devices as its
leading axis. `vmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=None)`
runs the same body on one device, and raises where an output was not averaged
over devices, of which `pmap` would silently take the first device's value.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


def pmapped(step: Callable, *, donate_state: bool = True) -> Callable:
  """Compiles a step over all devices.

  Args:
    step: `(state, batch) -> outputs`, pure; it averages over `AXIS` itself.
    donate_state: whether the outputs may take the state's memory.

  Returns:
    The step on a replicated state and a batch `[D, B, ...]`.
  """
  return jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=(None, 0),
    out_axes=None,
    donate_argnums=(0,) if donate_state else (),
  )


def split() -> NamedSharding:
  """Returns the sharding that lays axis 0 over the devices: a batch's."""
  return NamedSharding(_mesh(), PartitionSpec(AXIS))


def replicated() -> NamedSharding:
  """Returns the sharding that puts everything on every device: a state's."""
  return NamedSharding(_mesh(), PartitionSpec())


def _mesh() -> Mesh:
  return Mesh(np.asarray(jax.devices()), (AXIS,))


def replicate(tree: Any) -> Any:
  """Copies a tree to every device.

  The copy owns its buffers: a step that donates them deletes nothing that the
  caller still holds.
  """
  # `device_put(may_alias=False)` still takes the first device's buffer over.
  return jax.device_put(jax.tree.map(jnp.copy, tree), replicated())


def updates_in_flight() -> int:
  """Returns how many updates may be dispatched ahead of the one that is read.

  An accelerator wants its next update queued. CPU devices that exchange data
  share one pool of threads, in which more than a few unfinished updates starve
  each other of threads and deadlock.
  """
  alone = jax.device_count() == 1
  return 2 if alone or jax.default_backend() != "cpu" else 0
