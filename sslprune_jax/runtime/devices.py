"""Devices: the only file that names `pmap`.

State is replicated without a device axis; a batch, and what a task keeps for
every sample, carry the devices as their leading axis. `vmap` with the same axes
runs the same body on one device, and raises where an output was not averaged
over devices, of which `pmap` would silently take the first device's value.

Of several processes each holds the rows of its own devices.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"
ROWS, SAME = PartitionSpec(AXIS), PartitionSpec()


def pmap(
  step: Callable,
  *,
  in_axes: Any = (None, 0),
  out_axes: Any = None,
  donate_state: bool = False,
  devices: Sequence[jax.Device] | None = None,
) -> Callable:
  """Compiles a step over all devices.

  Args:
    step: `(state, batch) -> outputs`, pure; it averages over `AXIS` itself.
    in_axes: None for what is replicated, 0 for what has a device axis; by
      default a replicated state and a batch `[D, B, ...]`.
    out_axes: the same of the outputs.
    donate_state: whether the outputs may take the state's memory.
    devices: those of another machine, to compile for; by default all of this.

  Returns:
    The step on the devices.
  """
  return jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=in_axes,
    out_axes=out_axes,
    donate_argnums=(0,) if donate_state else (),
    devices=devices,
  )


def split() -> NamedSharding:
  """Returns the sharding that lays axis 0 over all devices: a batch's."""
  return NamedSharding(_mesh(), ROWS)


def split_alone() -> NamedSharding:
  """Returns the sharding `[1, ...]` of one device of this process."""
  mesh = Mesh(np.asarray(jax.local_devices()[:1]), (AXIS,))
  return NamedSharding(mesh, ROWS)


def replicated_sharding() -> NamedSharding:
  """Returns the sharding that puts everything on all devices."""
  return NamedSharding(_mesh(), SAME)


def _mesh() -> Mesh:
  # Those of one process lie together, as `pmap` has them.
  devices = [
    device
    for index in range(jax.process_count())
    for device in jax.local_devices(index)
  ]
  return Mesh(np.asarray(devices), (AXIS,))


def _own(spec: PartitionSpec) -> NamedSharding:
  return NamedSharding(_mesh().local_mesh, spec)


def replicate(tree: Any) -> Any:
  """Copies a tree to every device of this process.

  The copy owns its buffers: a step that donates them deletes nothing that the
  caller still holds.
  """
  tree = jax.tree.map(
    lambda leaf: leaf if _is_here(leaf) else np.asarray(leaf), tree
  )
  # `device_put(may_alias=False)` still takes the first device's buffer over.
  return _copy_tree(_own(SAME))(jax.device_put(tree, _own(SAME)))


@functools.cache
def _copy_tree(sharding: NamedSharding) -> Callable:
  """Returns the copy of a tree, compiled once for each structure."""
  return jax.jit(
    lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=sharding
  )


def distribute(tree: Any) -> Any:
  """Copies leaves `[D, ...]` a row a device.

  They are the same in all processes, or lie there already: see `samples.draw`.
  """

  def rows(leaf):
    if jax.process_count() == 1:
      return _copy(leaf)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
      return _copy(
        multihost_utils.global_array_to_host_local_array(leaf, _mesh(), ROWS)
      )
    count = len(leaf) // jax.process_count()
    return _copy(leaf[jax.process_index() * count :][:count])

  return jax.device_put(jax.tree.map(rows, tree), _own(ROWS))


def _copy(leaf: jax.Array) -> jax.Array:
  return jnp.copy(leaf if _is_here(leaf) else np.asarray(leaf))


def _is_here(leaf: Any) -> bool:
  return not isinstance(leaf, jax.Array) or leaf.is_fully_addressable


def to_global(tree: Any) -> Any:
  """Makes one array `[D, ...]` of all processes of the rows that each holds.

  A step takes and gives what its process holds; what is compiled by `jax.jit`
  over all devices takes and gives arrays of all.
  """
  if jax.process_count() == 1:
    return tree
  return multihost_utils.host_local_array_to_global_array(tree, _mesh(), ROWS)


def global_shapes(tree: Any) -> Any:
  """Returns the shapes and dtypes of what `to_global` makes."""
  return jax.tree.map(
    lambda rows: jax.ShapeDtypeStruct(
      (jax.process_count() * rows.shape[0], *rows.shape[1:]), rows.dtype
    ),
    tree,
  )


def on_host(tree: Any) -> Any:
  """Copies arrays of all devices to the host of every process."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  return multihost_utils.process_allgather(tree, tiled=True)


def all_gather(tree: Any) -> Any:
  """All-gathers leaves `[B, ...]` to `[D * B, ...]`. Call inside a step."""
  return jax.lax.all_gather(tree, AXIS, tiled=True)


def local_rows(gathered: jax.Array, rows: int) -> jax.Array:
  """Returns this device's rows of a gathered array. Call inside a step.

  Args:
    gathered: [D * rows, ...], from `all_gather`.
    rows: number of rows of a device.

  Returns:
    [rows, ...].
  """
  first = jax.lax.axis_index(AXIS) * rows
  return jax.lax.dynamic_slice_in_dim(gathered, first, rows)


def over_shards(function: Callable, in_specs: Any, out_specs: Any) -> Callable:
  """Runs a function on what each device holds of arrays split over them.

  Args:
    function: function of this device's shares; it may exchange over `AXIS`.
    in_specs: `ROWS` for what is split along axis 0, `SAME` for what is not.
    out_specs: the same of the outputs.

  Returns:
    The function of whole arrays, to be called under `jax.jit`.
  """
  return jax.shard_map(
    function,
    mesh=_mesh(),
    in_specs=in_specs,
    out_specs=out_specs,
    check_vma=False,
  )


def updates_in_flight() -> int:
  """Returns how many updates may be dispatched ahead of the one that is read.

  An accelerator wants its next update queued. CPU devices that exchange data
  share one pool of threads, in which more than a few unfinished updates starve
  each other of threads and deadlock.
  """
  alone = jax.device_count() == 1
  return 2 if alone or jax.default_backend() != "cpu" else 0
