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
class TrainState:
  """All that an update reads and writes.

  Attributes:
    step: i32[], updates done, counted from the start of the schedule.
    params: `{"trunk": ..., "head": ...}`, f32; exactly 0 under the masks.
    batch_stats: f32 running statistics of batch norm.
    opt_state: the optimizer's; its moments are exactly 0 under the masks.
    masks: bool, of exactly the structure of params.
    task_state: what the task carries along, `{}` for most.
    rng: base key of augmentation; folded with the step, never split in place.
  """

  step: jax.Array
  params: Tree
  batch_stats: Tree
  opt_state: Tree
  masks: masks_lib.Masks
  task_state: Tree
  rng: jax.Array


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
  task_state: Tree,
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
    A replicated state that owns its buffers, so that donating it deletes
    nothing of the caller's.

  Raises:
    ValueError: the masks do not fit the params.
  """
  masks_lib.check(masks, variables["params"])
  params = masks_lib.apply(masks, variables["params"])
  return parallel.replicate(
    TrainState(
      step=np.int32(step),
      params=params,
      batch_stats=variables["batch_stats"],
      opt_state=optimizer.init(params),
      masks=masks,
      task_state=task_state,
      rng=rng,
    )
  )
