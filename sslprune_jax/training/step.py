"""Training: the step, the evaluation step, and the one loop around them."""

import collections
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices as devices_lib
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.runtime.preemption import Preempted
from sslprune_jax.tasks import Task, base
from sslprune_jax.tasks.base import Batch
from sslprune_jax.training import state as state_lib
from sslprune_jax.training.state import TrainState

Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]

_LOSS = zlib.crc32(b"loss")


class DivergedError(UserError, RuntimeError):
  """The loss is no longer finite."""


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
    network: from `models.build`.
    task: makes views and the loss.
    optimizer: from `optimizer.optimizer`, without a learning rate.
    schedule: `i32[] update -> f32[] learning rate`.

  Returns:
    `(state, batch) -> (state, metrics)` to run under `pmapped`, or `vmap` with
    the same axes. `batch` is one device's share: u8[B,H,W,C].
  """

  def step(state, batch):
    key = jax.random.fold_in(state.rng, state.step)
    view = task.view(_sample_keys(key, batch["label"].shape[0]), batch)

    def loss_of(params):
      outputs, updated = network.apply(
        {"params": params, "batch_stats": state.batch_stats},
        view["image"],
        train=True,
        mutable=["batch_stats"],
      )
      loss, metrics = task.loss(
        outputs, view, state.task_state, jax.random.fold_in(key, _LOSS)
      )
      return loss, (metrics, outputs, updated["batch_stats"])

    gradients, (metrics, outputs, batch_stats) = jax.grad(
      loss_of, has_aux=True
    )(state.params)
    gradients, metrics, batch_stats = jax.lax.pmean(
      (gradients, metrics, batch_stats), devices_lib.AXIS
    )
    if network.probed:  # The mean of equal numbers may round.
      batch_stats = {**batch_stats, "trunk": state.batch_stats["trunk"]}
    learning_rate = schedule(state.step)
    direction, opt_state = optimizer.update(
      masks_lib.apply(state.masks, gradients), state.opt_state, state.params
    )
    params = jax.tree.map(
      lambda weight, d: weight - learning_rate * d, state.params, direction
    )
    state = state.replace(
      step=state.step + 1,
      params=masks_lib.apply(state.masks, params),
      batch_stats=batch_stats,
      opt_state=opt_state,
      task_state=task.update(outputs, view, state.task_state, metrics),
    )
    return state, {**metrics, "learning_rate": learning_rate}

  return step


def pmapped(step: Step, devices: Sequence[jax.Device] | None = None) -> Step:
  """Compiles a step over all devices; it takes the state's memory.

  Args:
    step: from `make_step`.
    devices: see `devices.pmapped`.
  """
  return devices_lib.pmapped(
    step,
    in_axes=(state_lib.AXES, 0),
    out_axes=(state_lib.AXES, None),
    donate_state=True,
    devices=devices,
  )


def _sample_keys(key: jax.Array, rows: int) -> jax.Array:
  """Returns a key for each row, by its place in the global batch.

  So the images that an update sees do not depend on the number of devices.
  """
  first = jax.lax.axis_index(devices_lib.AXIS) * rows
  return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(rows))


def make_evaluation_step(network: Any, task: Task) -> Callable:
  """Makes the evaluation of one batch, over all devices.

  Args:
    network: from `models.build`.
    task: makes the view and the scores.

  Returns:
    `(model, batch) -> sums`: each score summed over the global batch by the
    batch's `weight`, and `weight` itself. `model` is `{"variables",
    "task_state"}`. Batch norm uses its running statistics and leaves them
    alone.
  """

  def evaluation_step(model, batch):
    view = task.evaluation_view(batch)
    outputs = network.apply(model["variables"], view["image"], train=False)
    scores = task.scores(outputs, view, model["task_state"])
    sums = jax.tree.map(
      lambda s: jnp.sum(s * view["weight"]), {**scores, "weight": 1.0}
    )
    return jax.lax.psum(sums, devices_lib.AXIS)

  return devices_lib.pmapped(
    evaluation_step,
    in_axes=({"variables": None, "task_state": base.TASK_AXES}, 0),
  )


def evaluate(
  evaluation_step: Callable,
  state: TrainState,
  batches: Iterable[Batch],
) -> dict[str, float]:
  """Averages a task's scores over a set, every image counted exactly once.

  Args:
    evaluation_step: from `make_evaluation_step`.
    state: of the training.
    batches: with `weight` 0 on padding.

  Returns:
    The mean of each score.
  """
  model = {"variables": state.variables, "task_state": state.task_state}
  totals = collections.Counter()
  unread = collections.deque()

  def read(limit: int) -> None:
    while len(unread) > limit:
      sums = jax.device_get(unread.popleft())
      totals.update({name: float(value) for name, value in sums.items()})

  for batch in batches:
    unread.append(evaluation_step(model, batch))
    read(devices_lib.updates_in_flight())
  read(0)
  weight = totals.pop("weight")
  return {name: total / weight for name, total in totals.items()}


def fit(
  state: TrainState,
  step: Step,
  batches: Iterable[Batch],
  *,
  on_metrics: Callable[[int, dict[str, float]], None],
  saves_at: Callable[[int], bool],
  save: Callable[[int, TrainState], None],
  stops_at: Callable[[int], bool] = lambda update: False,
) -> TrainState:
  """Trains on the batches, one update each.

  The metrics of an update are read after later ones are dispatched, so that the
  device never waits for the host.

  Args:
    state: on the devices; its buffers are donated.
    step: from `make_step`, compiled by `pmapped`.
    batches: one an update, on the devices.
    on_metrics: called with the number of updates done and the metrics.
    saves_at: whether to save once this many updates are done.
    save: called with the number of updates done and the state.
    stops_at: whether to save and end once this many updates are done; asked
      once an update.

  Returns:
    The state after the last batch.

  Raises:
    DivergedError: the loss is not finite; nothing of such a state is saved.
    Preempted: it was told to end.
  """
  done = int(state.step)
  unread = collections.deque()

  def read(limit: int) -> None:
    while len(unread) > limit:
      update, metrics = unread.popleft()
      metrics = {k: float(v) for k, v in jax.device_get(metrics).items()}
      if not math.isfinite(metrics["loss"]):
        raise DivergedError(f"update {update}: the loss is {metrics['loss']}")
      on_metrics(update, metrics)

  for batch in batches:
    state, metrics = step(state, batch)
    done += 1
    unread.append((done, metrics))
    stops = stops_at(done)
    if stops or saves_at(done):
      read(0)
      save(done, state)
    if stops:
      raise Preempted
    read(devices_lib.updates_in_flight())
  read(0)
  return state
