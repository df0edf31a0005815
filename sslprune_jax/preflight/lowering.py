"""The training step, ready to be compiled for devices that are not here."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from sslprune_jax import data
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step
from sslprune_jax.training.state import TrainState
from sslprune_jax.training.trainer import Training

Batch = dict[str, jax.ShapeDtypeStruct]


def shapes(
  training: Training, source: data.Source, devices: int
) -> tuple[TrainState, Batch]:
  """Returns the shapes of what an update reads, without its arrays.

  Args:
    training: any.
    source: of the training images.
    devices: that divide the batch, and what is kept by sample.

  Returns:
    The state and the batch, of `jax.ShapeDtypeStruct`.
  """
  network, optimizer = training.network, training.optimizer
  key = jax.eval_shape(lambda: jax.random.key(0))
  variables = jax.eval_shape(
    lambda key: state_lib.initialize(network, source.image_shape, key), key
  )
  task_state = jax.eval_shape(lambda key: training.task.init(key, source), key)

  def laid_out(leaf):
    rows = -(-leaf.shape[0] * leaf.shape[1] // devices)
    return jax.ShapeDtypeStruct((devices, rows, *leaf.shape[2:]), leaf.dtype)

  state = TrainState(
    step=jax.ShapeDtypeStruct((), jnp.int32),
    params=variables["params"],
    batch_stats=variables["batch_stats"],
    opt_state=jax.eval_shape(optimizer.init, variables["params"]),
    masks=jax.eval_shape(lambda: masks_lib.dense(variables["params"])),
    task_state=task_state.replace(
      by_sample=jax.tree.map(laid_out, task_state.by_sample)
    ),
    rng=key,
  )
  rows = devices, training.batch_size * training.task.reads // devices
  number = jax.ShapeDtypeStruct(rows, jnp.int32)
  image = jax.ShapeDtypeStruct(rows + source.image_shape, jnp.uint8)
  return state, {"image": image, "label": number, "index": number}


def lower(
  training: Training,
  state: TrainState,
  batch: Batch,
  devices: Sequence[jax.Device],
) -> jax.stages.Lowered:
  """Returns the step of a training, to be compiled for some devices.

  Args:
    training: any.
    state: its shapes.
    batch: its shapes.
    devices: of another machine.
  """
  return step.pmapped(training.step_of_device, devices).lower(state, batch)
