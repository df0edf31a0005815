"""The training state: arrays only, replicated, without a device axis."""

import functools
import zlib
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from sslprune_jax import masks as masks_lib
from sslprune_jax import parallel
from sslprune_jax.trees import Tree


@flax.struct.dataclass
class TaskState:
  """What a task carries along, `{}` for most.

  Attributes:
    shared: replicated.
    by_sample: a row for every training image, split over the devices: leaves
      `[D, ceil(N / D), ...]`, from `parallel.by_sample`.
  """

  shared: Tree = flax.struct.field(default_factory=dict)
  by_sample: Tree = flax.struct.field(default_factory=dict)


@flax.struct.dataclass
class TrainState:
  """All that an update reads and writes.

  Attributes:
    step: i32[], updates done, counted from the start of the schedule.
    params: `{"trunk": ..., "head": ...}`, f32; exactly 0 under the masks.
    batch_stats: f32 running statistics of batch norm.
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


TASK_AXES = TaskState(shared=None, by_sample=0)
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


def stream_key(seed: int, purpose: str) -> jax.Array:
  """Returns the random key of one purpose, apart from those of all others."""
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def stream_generator(seed: int, purpose: str) -> np.random.Generator:
  """Returns the host's random generator of one purpose."""
  return np.random.Generator(
    np.random.Philox(
      np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    )
  )


@functools.partial(jax.jit, static_argnums=(0, 1))
def initialize(
  network: Any, image_shape: tuple[int, int, int], rng: jax.Array
) -> dict[str, Tree]:
  """Draws fresh variables; compiled once for each network.

  Args:
    network: from `models.build`.
    image_shape: (H, W, C).
    rng: key of the draw.

  Returns:
    `{"params": ..., "batch_stats": ...}`, f32.
  """
  return network.init(rng, jnp.zeros((1, *image_shape)), train=False)


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
    task_state: from the task's `init`.
    step: update of the schedule to go on from.

  Returns:
    A state on the devices that owns its buffers, so that donating it deletes
    nothing of the caller's.

  Raises:
    ValueError: the masks do not fit the params.
  """
  masks_lib.check(masks, variables["params"])
  params = masks_lib.apply(masks, variables["params"])
  return place(
    TrainState(
      step=np.int32(step),
      params=params,
      batch_stats=variables["batch_stats"],
      opt_state=optimizer.init(params),
      masks=masks,
      task_state=task_state or TaskState(),
      rng=rng,
    )
  )


def place(state: TrainState) -> TrainState:
  """Copies a state to the devices: replicated, a row a device by sample."""
  task_state = TaskState(
    shared=parallel.replicate(state.task_state.shared),
    by_sample=parallel.distribute(state.task_state.by_sample),
  )
  rest = parallel.replicate(state.replace(task_state=None))
  return rest.replace(task_state=task_state)


def with_head(state: TrainState, head: Tree) -> TrainState:
  """Replaces the head; its moments, and its count of updates, start again.

  Args:
    state: on the devices, trained by `optim.optimizer(own_head=True)`.
    head: params of the same structure.

  Returns:
    The state on the devices; the rest of it is not copied.
  """
  states = state.opt_state.inner_states
  fresh = parallel.replicate(jax.tree.map(jnp.zeros_like, states["head"]))
  return state.replace(
    params={**state.params, "head": parallel.replicate(head)},
    opt_state=state.opt_state._replace(inner_states={**states, "head": fresh}),
  )
