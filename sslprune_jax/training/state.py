"""The training state: arrays only, replicated, without a device axis."""

import dataclasses
import functools
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks.task_state import TASK_AXES, TaskState


@flax.struct.dataclass
class TrainState:
  """All that an update reads and writes.

  Attributes:
    step: i32[], updates done, counted from the start of the schedule.
    params: `{"trunk": ..., "head": ...}`, f32; exactly 0 under the masks.
    batch_stats: f32 running statistics of batch norm; {} without it.
    opt_state: the optimizer's; its moments are exactly 0 under the masks.
    masks: bool, of exactly the structure of params.
    task_state: what the task carries along.
    rng: base key of augmentation; folded with the step, never split in place.
  """

  step: jax.Array
  params: Tree
  batch_stats: Tree
  opt_state: Tree
  masks: masks_lib.Masks
  task_state: TaskState
  rng: jax.Array

  @property
  def variables(self) -> dict[str, Tree]:
    """What the network is applied with: `{"params", "batch_stats"}`."""
    return {"params": self.params, "batch_stats": self.batch_stats}


# Which leaves have a device axis: the `in_axes` of a step.
AXES = TrainState(
  step=None,
  params=None,
  batch_stats=None,
  opt_state=None,
  masks=None,
  task_state=TASK_AXES,
  rng=None,
)


def initialize(
  network: Any, image_shape: tuple[int, int, int], rng: jax.Array
) -> dict[str, Tree]:
  """Draws fresh variables; compiled once for each network.

  Args:
    network: network from `models.build`.
    image_shape: (H, W, C).
    rng: key of the draw.

  Returns:
    `{"params": ..., "batch_stats": ...}`, f32.
  """
  chex.assert_rank(rng, 0, custom_message="rng")
  try:
    hash(network)
  except TypeError:  # A head may hold its layers in a list.
    network = _ByIdentity(network)
  return _initialize(network, tuple(image_shape), rng)


@dataclasses.dataclass(frozen=True, eq=False)
class _ByIdentity:
  """A network that is told apart from others by its identity."""

  network: Any


@functools.partial(jax.jit, static_argnums=(0, 1))
def _initialize(network, image_shape, rng):
  if isinstance(network, _ByIdentity):
    network = network.network
  drawn = network.init(rng, jnp.zeros((1, *image_shape)), train=False)
  # A network without batch norm keeps no statistics.
  return {
    "params": drawn["params"],
    "batch_stats": drawn.get("batch_stats", {}),
  }


def create(
  variables: dict[str, Tree],
  masks: masks_lib.Masks,
  optimizer: optax.GradientTransformation,
  rng: jax.Array,
  *,
  task_state: TaskState | None = None,
  step: int = 0,
) -> TrainState:
  """Makes a state from variables under masks, with a fresh optimizer.

  Args:
    variables: `{"params": ..., "batch_stats": ...}`, on the host or devices.
    masks: the masks; `variables` are masked by them here.
    optimizer: its moments start at 0.
    rng: base key of augmentation.
    task_state: the task's share, from its `init`.
    step: update of the schedule to go on from.

  Returns:
    A state on the devices that owns its buffers, so that donating it deletes
    nothing of the caller's.

  Raises:
    ValueError: the masks do not fit the params.
  """
  chex.assert_rank(rng, 0, custom_message="rng")
  masks_lib.check(masks, variables["params"])
  params, opt_state = _begin(optimizer, masks, variables["params"])
  return place(
    TrainState(
      step=np.int32(step),
      params=params,
      batch_stats=variables["batch_stats"],
      opt_state=opt_state,
      masks=masks,
      task_state=task_state or TaskState(),
      rng=rng,
    )
  )


@functools.partial(jax.jit, static_argnums=0)
def _begin(optimizer, masks, params):
  """Masks params and begins the optimizer, by one program for all rounds."""
  params = masks_lib.apply(masks, params)
  return params, optimizer.init(params)


def place(state: TrainState) -> TrainState:
  """Copies a state to the devices: replicated, a row a device by sample."""
  rest, task_state = _place(state.replace(task_state=None), state.task_state)
  return rest.replace(task_state=task_state)


def _place(rest: Tree, task_state: TaskState) -> tuple[Tree, TaskState]:
  """Copies what is replicated, and the task's share, which has rows too."""
  rest, placed = devices.replicate((rest, task_state.replace(by_sample=None)))
  by_sample = devices.distribute(task_state.by_sample)
  return rest, placed.replace(by_sample=by_sample)


def begin_epoch(
  state: TrainState, task_state: TaskState, head: Tree
) -> TrainState:
  """Returns the state that an epoch of a task that prepares its epochs begins.

  Args:
    state: on the devices, trained by `optimizer.optimizer(own_head=True)`.
    task_state: the task's share, of the same structure.
    head: params f32 of the same structure; its moments, and its count of
      updates, start again.

  Returns:
    The state on the devices; the rest of it is not copied.
  """
  chex.assert_trees_all_equal_shapes_and_dtypes(head, state.params["head"])
  states = state.opt_state.inner_states
  fresh = jax.tree.map(jnp.zeros_like, states["head"])
  (head, fresh), task_state = _place((head, fresh), task_state)
  return state.replace(
    params={**state.params, "head": head},
    task_state=task_state,
    opt_state=state.opt_state._replace(inner_states={**states, "head": fresh}),
  )
