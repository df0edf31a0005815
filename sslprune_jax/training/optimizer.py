"""Optimizers and schedules."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("constant", "step", "cosine")


def schedule(
  name: str,
  learning_rate: float,
  *,
  length: int,
  warmup: int = 0,
  milestones: Sequence[int] = (),
  decay: float = 0.1,
) -> Callable[[jax.Array], jax.Array]:
  """Makes the learning rate a pure function of the update.

  During warm-up the rate of update u is `(u + 1) / warmup` of the scheduled
  one; the schedule itself starts at update 0, so that milestones stay where the
  recipe has them.

  Args:
    name: "constant"; "step": times `decay` at each milestone; "cosine": to 0 at
      `length`.
    learning_rate: peak rate, for the batch size that the recipe names.
    length: updates of the whole training.
    warmup: updates of linear warm-up.
    milestones: updates at which "step" decays; one named twice, twice.
    decay: factor of "step".

  Returns:
    `i32[] update -> f32[] learning rate`.

  Raises:
    ValueError: an unknown name.
  """
  if name == "constant":
    base = optax.constant_schedule(learning_rate)
  elif name == "step":
    base = optax.piecewise_constant_schedule(
      learning_rate,
      {m: decay ** list(milestones).count(m) for m in milestones},
    )
  elif name == "cosine":
    base = optax.cosine_decay_schedule(learning_rate, length)
  else:
    raise ValueError(f"schedule: found {name!r}, expected one of {SCHEDULES}")

  def rate(update: jax.Array) -> jax.Array:
    ramp = jnp.minimum(1.0, (update + 1) / max(warmup, 1))
    return jnp.asarray(base(update) * ramp, jnp.float32)

  return rate


def optimizer(
  name: str,
  *,
  weight_decay: float,
  momentum: float = 0.9,
  nesterov: bool = True,
  own_head: bool = False,
  frozen_trunk: bool = False,
) -> optax.GradientTransformation:
  """Makes the optimizer, without its learning rate, which the step applies.

  The rate follows the update number of the state, not a count of the
  optimizer's own, so that a rewound run with a fresh optimizer continues its
  schedule. Weight decay is the coupled, L2 kind for Adam too, on all
  parameters, as in the paper's time.

  Args:
    name: "sgd" or "adam".
    weight_decay: L2 coefficient, added to the gradient.
    momentum: momentum of "sgd", in [0, 1).
    nesterov: Nesterov's momentum, for "sgd".
    own_head: whether the head has an optimizer of its own; that of "sgd"
      has no momentum.
    frozen_trunk: whether the head alone is trained.

  Returns:
    A transformation from gradients to a direction of ascent.

  Raises:
    ValueError: an unknown name.
  """
  if name == "sgd":
    direction = optax.trace(decay=momentum, nesterov=nesterov)
    head_direction = optax.identity()
  elif name == "adam":
    direction = head_direction = optax.scale_by_adam()
  else:
    raise ValueError(f"optimizer: found {name!r}, expected one of {OPTIMIZERS}")
  decay = optax.add_decayed_weights(weight_decay)
  trained = optax.chain(decay, direction)
  if frozen_trunk:
    parts = {"trunk": optax.set_to_zero(), "head": trained}
  elif own_head:
    parts = {"trunk": trained, "head": optax.chain(decay, head_direction)}
  else:
    return trained
  return optax.partition(parts, {name: name for name in parts})
