"""The update and the evaluation of one batch: pure, and pmapped here.

The step is one device's share of an update. Masks are a tree beside the params,
of the same structure, so that masking is one `tree.map`.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices as devices_lib
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks import Task
from sslprune_jax.tasks.base import Batch
from sslprune_jax.tasks.task_state import TASK_AXES
from sslprune_jax.training import state as state_lib
from sslprune_jax.training.state import TrainState

Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]

# Raised by hand when an update ends in other bits: workdirs record it, and one
# begun with another number is not gone on with unasked.
NUMERICS = 2

_LOSS, _DROPOUT = zlib.crc32(b"loss"), zlib.crc32(b"dropout")


def make_loss(network: Any, task: Task) -> Callable:
  """Makes the loss of a batch, as an update sees it.

  Args:
    network: network as of `make_step`.
    task: makes views and the loss.

  Returns:
    `(params, batch_stats, task_state, key, batch) -> (loss f32[], (metrics,
    outputs, view, batch_stats))`, pure, for one device of several, as the step.
  """

  def loss(params, batch_stats, task_state, key, batch):
    _check(batch)
    view = task.view(_row_keys(key, batch["label"].shape[0]), batch)
    variables = {"params": params, "batch_stats": batch_stats}
    outputs, updated = _forward(network, variables, view["image"], key)
    rng = jax.random.fold_in(key, _LOSS)
    value, metrics = task.loss(outputs, view, task_state, rng)
    return value, (metrics, outputs, view, updated)

  return loss


def make_step(
  network: Any,
  task: Task,
  optimizer: optax.GradientTransformation,
  schedule: Callable[[jax.Array], jax.Array],
) -> Step:
  """Makes one update of training under masks, pure, for one device of several.

  Gradients and weights are masked, so pruned weights and their moments stay
  exactly 0 under weight decay, momentum and Nesterov, and the forward pass
  needs no multiplication by masks.

  Args:
    network: network from `models.build`, or any module of `(images, train)`
      that returns a dictionary with `logits`.
    task: makes views and the loss.
    optimizer: optimizer without a learning rate, from `optimizer.optimizer`.
    schedule: `i32[] update -> f32[] learning rate`.

  Returns:
    `(state, batch) -> (state, metrics f32[])` to run under `pmap`, or `vmap`
    with the same axes, on one device's share of a batch: `image` u8[B,H,W,C],
    `label` i32[B] or i32[B,K], `index` i32[B].
  """
  loss = make_loss(network, task)

  def step(state, batch):
    key = jax.random.fold_in(state.rng, state.step)
    rest = state.batch_stats, state.task_state, key, batch
    differentiate = jax.grad(loss, has_aux=True)
    gradients, found = differentiate(state.params, *rest)
    metrics, outputs, view, batch_stats = found
    averaged = gradients, metrics, batch_stats
    gradients, metrics, batch_stats = jax.lax.pmean(averaged, devices_lib.AXIS)
    if getattr(network, "probed", ""):
      batch_stats |= _frozen(state.batch_stats)
    rate = schedule(state.step)
    direction, opt_state = optimizer.update(
      masks_lib.apply(state.masks, gradients), state.opt_state, state.params
    )
    params = jax.tree.map(lambda w, d: w - rate * d, state.params, direction)
    state = state.replace(
      step=state.step + 1,
      params=masks_lib.apply(state.masks, params),
      batch_stats=batch_stats,
      opt_state=opt_state,
      task_state=task.update(outputs, view, state.task_state, metrics),
    )
    return state, {**metrics, "learning_rate": rate}

  return step


def _frozen(batch_stats: Tree) -> Tree:
  """Returns the statistics of a frozen trunk; {} without batch norm.

  `pmean` of equal values can change their last bit.
  """
  return {k: v for k, v in batch_stats.items() if k == "trunk"}


def pmap(step: Step, devices: Sequence[jax.Device] | None = None) -> Step:
  """Compiles a step over all devices; it takes the state's memory.

  Args:
    step: step from `make_step`.
    devices: devices of another machine; see `devices.pmap`.
  """
  return devices_lib.pmap(
    step,
    in_axes=(state_lib.AXES, 0),
    out_axes=(state_lib.AXES, None),
    donate_state=True,
    devices=devices,
  )


def make_evaluation_step(network: Any, task: Task) -> Callable:
  """Makes the evaluation of one batch, pmapped over all devices.

  Args:
    network: network from `models.build`.
    task: makes the view and the scores.

  Returns:
    `(model, batch) -> sums`: each score f32[] summed over the global batch by
    the batch's `weight`, and `weight` itself. `model` is `{"variables",
    "task_state"}`; `batch` is that of `make_step` with `weight` f32[B], 0 on
    padding. Batch norm uses its running statistics and leaves them alone.
  """

  def evaluation_step(model, batch):
    _check(batch, "weight")
    view = task.evaluation_view(batch)
    outputs = network.apply(model["variables"], view["image"], train=False)
    scores = task.scores(outputs, view, model["task_state"])
    sums = jax.tree.map(
      lambda s: jnp.sum(s * view["weight"]), {**scores, "weight": 1.0}
    )
    return jax.lax.psum(sums, devices_lib.AXIS)

  return devices_lib.pmap(
    evaluation_step,
    in_axes=({"variables": None, "task_state": TASK_AXES}, 0),
  )


def _forward(network: Any, variables: Tree, images: jax.Array, key: jax.Array):
  """Returns a network's outputs in training, and its new statistics.

  What is dropped is drawn by update and device.
  """
  device = jax.lax.axis_index(devices_lib.AXIS)
  dropout = jax.random.fold_in(jax.random.fold_in(key, _DROPOUT), device)
  outputs, updated = network.apply(
    variables,
    images,
    train=True,
    mutable=["batch_stats"],
    rngs={"dropout": dropout},
  )
  return outputs, updated.get("batch_stats", {})


def _row_keys(key: jax.Array, rows: int) -> jax.Array:
  """Returns a key for each row, by its place in the global batch.

  So the images that an update sees do not depend on the number of devices.
  """
  first = jax.lax.axis_index(devices_lib.AXIS) * rows
  return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(rows))


def _check(batch: Batch, *more: str) -> None:
  """Holds a batch against its shapes when it is traced; free at run time."""
  for name, ranks in (("image", 4), ("label", {1, 2}), ("index", 1)):
    chex.assert_rank(batch[name], ranks, custom_message=name)
  chex.assert_type(batch["image"], jnp.uint8, custom_message="image")
  chex.assert_type(batch["index"], jnp.int32, custom_message="index")
  rows = [batch[name] for name in ("image", "label", "index", *more)]
  chex.assert_equal_shape_prefix(rows, 1)
