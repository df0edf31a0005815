"""One kind of training: its recipe and steps, compiled once, run many times."""

import functools
from collections.abc import Callable

import jax
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import checkpoints, data, models, optim, parallel, train
from sslprune_jax import config as config_lib
from sslprune_jax import masks as masks_lib
from sslprune_jax import state as state_lib
from sslprune_jax.data import batches
from sslprune_jax.progress import MetricLines, Progress
from sslprune_jax.state import TrainState
from sslprune_jax.tasks import Task
from sslprune_jax.trees import Tree


class Training:
  """What all rounds of a task share: one network, one recipe, one step.

  Args:
    config: the whole configuration.
    section: of its recipe: "train" or "retrain.train".
    task: what is trained.
    num_images: in the training set.

  Raises:
    ConfigError: the recipe does not fit the data or the devices.
  """

  def __init__(
    self, config: ConfigDict, section: str, task: Task, num_images: int
  ):
    recipe = config_lib.lookup(config, section)
    self.task, self.batch_size = task, recipe.batch_size
    devices = jax.device_count()
    if self.batch_size % devices:
      raise config_lib.ConfigError(
        f"config.{section}.batch_size: found {self.batch_size}, expected a "
        f"multiple of the {devices} devices"
      )
    if self.batch_size > num_images:
      raise config_lib.ConfigError(
        f"config.{section}.batch_size: found {self.batch_size}, expected at "
        f"most the {num_images} training images"
      )

    def updates(field: str) -> int:
      return config_lib.updates(
        config, field, batch_size=self.batch_size, num_images=num_images
      )

    self.length = updates(f"{section}.duration")
    if self.length < 1:
      raise config_lib.ConfigError(
        f"config.{section}.duration: found {recipe.duration!r}, which is no "
        "update, expected at least one"
      )
    self.rewind_update = updates("prune.rewind")
    self._log_every = max(1, updates("log.every"))
    self._checkpoint_every = max(1, updates("log.checkpoint"))
    self.network = models.build(
      config.model.name,
      task.num_outputs,
      dtype=config.model.dtype,
      batch_norm_axis=(
        parallel.AXIS if config.model.batch_norm == "global" else None
      ),
    )
    self.optimizer = optim.optimizer(
      recipe.optimizer,
      weight_decay=recipe.weight_decay,
      momentum=recipe.momentum,
      nesterov=recipe.nesterov,
    )
    schedule = optim.schedule(
      recipe.schedule,
      recipe.learning_rate,
      length=self.length,
      warmup=updates(f"{section}.warmup"),
      milestones=[
        updates(f"{section}.milestones[{i}]")
        for i in range(len(recipe.milestones))
      ],
      decay=recipe.decay,
    )
    self._step = parallel.pmapped(
      train.make_step(self.network, task, self.optimizer, schedule)
    )
    self._evaluation_step = parallel.pmapped(
      train.make_evaluation_step(self.network, task), donate_state=False
    )

  def images(self, start: int) -> int:
    """Counts the images that a training from an update on is trained on."""
    return (self.length - start) * self.batch_size * self.task.rows

  def run(
    self,
    directory: epath.Path,
    variables: dict[str, Tree],
    masks: masks_lib.Masks,
    source: data.Source,
    *,
    seed: int,
    progress: Progress,
    start: int = 0,
    save_early: Callable[[int, TrainState], None] | None = None,
  ) -> TrainState:
    """Trains under masks, going on from the newest checkpoint if there is one.

    Args:
      directory: of the metrics and of `checkpoint/`, which the caller deletes
        once it has written what it makes of the state.
      variables: `{"params", "batch_stats"}` to start from.
      masks: to train under.
      source: the training images.
      seed: of the order and of the augmentation.
      progress: the study's.
      start: update of the schedule to start from.
      save_early: called with the state at the rewind point.

    Returns:
      The state after the last update.

    Raises:
      DivergedError: the loss is not finite; names the last good checkpoint.
    """
    state = state_lib.create(
      variables,
      masks,
      self.optimizer,
      state_lib.stream_key(seed, "augment"),
      step=start,
      task_state=self.task.init(
        state_lib.stream_key(seed, "task"), len(source)
      ),
    )
    saved = checkpoints.Checkpoints(directory / "checkpoint")
    state = saved.restore_newest(state) or state
    begin = int(state.step)
    progress.skip(self.images(start) - self.images(begin))
    feed = _batches(source, self.batch_size, seed)
    lines = MetricLines(
      directory / "metrics.jsonl",
      every=self._log_every,
      updates_per_epoch=feed.updates_per_epoch,
      start=begin,
    )

    def on_metrics(update, metrics):
      lines.add(update, metrics)
      progress.advance(self.batch_size * self.task.rows, metrics)

    def is_early(update):
      return save_early is not None and update == self.rewind_update

    def is_due(update):
      return update > begin and update % self._checkpoint_every == 0

    def save(update, state):
      if is_early(update):
        save_early(update, state)
      if is_due(update):
        saved.save(update, state)

    try:
      return train.fit(
        state,
        self._step,
        feed.train(
          lambda epoch: data.permutation(seed, epoch, len(source)),
          begin,
          self.length,
        ),
        on_metrics=on_metrics,
        saves_at=lambda update: is_early(update) or is_due(update),
        save=save,
      )
    except train.DivergedError as error:
      good = saved.newest() or "none"
      raise train.DivergedError(
        f"{directory}: {error}; last good checkpoint: {good}"
      ) from None
    finally:
      saved.close()
      lines.close()

  def evaluate(
    self, state: TrainState, source: data.Source
  ) -> dict[str, float]:
    """Returns the task's mean scores on a set, each image counted once."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    feed = _batches(source, self.batch_size, seed=0)
    return train.evaluate(self._evaluation_step, variables, feed.evaluate())

  def draw(
    self, image_shape: tuple[int, int, int], seed: int, purpose: str
  ) -> dict[str, Tree]:
    """Draws fresh variables from the initializer."""
    key = state_lib.stream_key(seed, purpose)
    return state_lib.initialize(self.network, image_shape, key)


@functools.lru_cache(maxsize=3)
def _batches(source: data.Source, batch_size: int, seed: int) -> data.Batches:
  """Makes the batches of a source; cached, as they hold images on devices."""
  return batches.make(source, batch_size, parallel.split(), seed=seed)
