"""The loop of one training, and the evaluation of what it ends with."""

import collections
import contextlib
import math
from collections.abc import Collection

import jax
from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.data import batches
from sslprune_jax.data.sources import Images
from sslprune_jax.runtime import devices, preemption, trees
from sslprune_jax.runtime.errors import DivergedError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.training import tracing
from sslprune_jax.training.checkpoints import Checkpoints
from sslprune_jax.training.metrics import MetricLines
from sslprune_jax.training.state import TrainState
from sslprune_jax.training.trainer import Trainer


def train(
  trainer: Trainer,
  state: TrainState,
  images: Images,
  directory: epath.Path,
  seed: int,
  progress: Progress,
  early: Checkpoints | None = None,
  rewinds: Collection[int] = (),
) -> TrainState:
  """Trains to the end of the schedule, on from the newest checkpoint if any.

  Args:
    trainer: network, recipe and compiled steps.
    state: state to start from, on the devices; its buffers are donated.
    images: images to train on, and those of `log.evaluate`.
    directory: folder of metrics, and of checkpoints for the caller to delete.
    seed: seed of the order, and of the crops of streamed images.
    progress: bar of the whole study.
    early: place of W_k, which is rewound to.
    rewinds: updates k that W_k is saved after.

  Returns:
    The state after the last update.

  Raises:
    DivergedError: the loss or a weight is not finite.
    Preempted: it was told to end before its last update, and has saved.
  """
  calendar, start = trainer.calendar, int(state.step)
  saved = Checkpoints(directory / workdir_lib.CHECKPOINT)
  state = saved.restore_newest(state) or state
  begin = int(state.step)
  progress.skip(trainer.num_images(start) - trainer.num_images(begin))
  trace = directory / "trace" if trainer.is_traced() else None
  log = _Log(trainer, directory, begin, saved, progress)
  with contextlib.closing(saved), contextlib.closing(log):
    if begin in rewinds:  # W_0; any later one is saved on the way.
      early.save_durably(begin, state)
    for first, last in calendar.stretches(begin):
      if first > start and calendar.evaluates_at(first):
        log.event(first, "evaluation", evaluate(trainer, state, images))
      if calendar.begins_epoch_at(first):
        state, found = trainer.begin_epoch(state, images.train, seed)
        log.event(first, "epoch", found)
      fed = trainer.batches(state, images.train, seed, first, last)
      fed = tracing.trace_updates(fed, trace if first == begin else None)
      with contextlib.closing(fed):
        for update, batch in enumerate(fed, first + 1):
          state, metrics = trainer.step(state, batch)
          stops = update < calendar.length and preemption.is_due()
          saves = stops or calendar.saves_at(update)
          log.add(update, metrics, state, saves or update in {last, *rewinds})
          if update in rewinds:
            early.save_durably(update, state)
          if saves:
            saved.save(update, state)
          if stops:
            raise preemption.Preempted
  return state


class _Log:
  """The metrics of a training, read after later updates are dispatched.

  So the device never waits for the host. Of a loss that is not finite nothing
  is logged, and nothing is saved, as what is saved waits for its metrics. A
  loss can be finite where weights are not, as the maximum of a pooling window
  passes over NaN on some devices: with each line of metrics, and before
  anything is saved or judged, the weights are looked at too.
  """

  def __init__(
    self,
    trainer: Trainer,
    directory: epath.Path,
    begin: int,
    saved: Checkpoints,
    progress: Progress,
  ):
    self._directory, self._saved = directory, saved
    self._progress, self._images = progress, trainer.images_per_update
    self._unread, self._names = collections.deque(), []
    self._every = trainer.calendar.log
    self._lines = MetricLines(
      directory / workdir_lib.METRICS,
      every=self._every,
      updates_per_epoch=trainer.calendar.epoch,
      start=begin,
    )
    self.event, self.close = self._lines.event, self._lines.close

  def add(
    self,
    update: int,
    metrics: dict[str, jax.Array],
    state: TrainState,
    waits: bool,
  ) -> None:
    """Takes what an update gave; reads that of earlier ones, or all."""
    finite = None
    if waits or update % self._every == 0:
      finite = trees.are_finite(_held(state))
      self._names = self._names or list(trees.named_leaves(_held(state)))
    self._unread.append((update, metrics, finite))
    while len(self._unread) > (0 if waits else devices.updates_in_flight()):
      update, metrics, finite = self._unread.popleft()
      metrics = _floats(metrics)
      if not math.isfinite(metrics["loss"]):
        raise self._divergence(update, f"the loss is {metrics['loss']}")
      if finite is not None and not (found := jax.device_get(finite)).all():
        raise self._divergence(
          update, f"{self._names[found.argmin()]} is not finite"
        )
      self._lines.add(update, metrics)
      self._progress.advance(self._images, metrics)

  def _divergence(self, update: int, words: str) -> DivergedError:
    return DivergedError(
      f"{self._directory}: update {update}: {words}; "
      f"last good checkpoint: {self._saved.newest() or 'none'}"
    )


def _held(state: TrainState) -> dict[str, trees.Tree]:
  """Returns what an update leaves to the next one, but for the task's share."""
  return {**state.variables, "opt_state": state.opt_state}


def evaluate(
  trainer: Trainer, state: TrainState, images: Images
) -> dict[str, float]:
  """Averages the task's scores over a set, every image counted exactly once.

  Args:
    trainer: task and compiled step.
    state: state of the training.
    images: images of the training; the task says on which it is scored.

  Returns:
    The mean of each score.
  """
  source = images.scored_source(trainer.task.scored_on)
  feed = batches.make(source, trainer.batch_size, devices.split())
  model = {"variables": state.variables, "task_state": state.task_state}
  totals, unread = collections.Counter(), collections.deque()
  with contextlib.closing(feed.evaluate()) as fed:
    for batch in fed:
      unread.append(trainer.evaluation_step(model, batch))
      if len(unread) > devices.updates_in_flight():
        totals.update(_floats(unread.popleft()))
  for sums in unread:
    totals.update(_floats(sums))
  weight = totals.pop("weight")
  return {name: total / weight for name, total in totals.items()}


def _floats(answer: dict[str, jax.Array]) -> dict[str, float]:
  """Waits for what the devices answer."""
  return {k: float(v) for k, v in jax.device_get(answer).items()}
