"""One kind of training: its recipe and steps, compiled once, run many times."""

import functools
import itertools
from collections.abc import Callable

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import data, models
from sslprune_jax.data import batches
from sslprune_jax.data.sources import Images
from sslprune_jax.features import clustering, extraction
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices, errors, preemption, processes, rng
from sslprune_jax.runtime.progress import MetricLines, Progress
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks import Task, setup
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training import checkpoints, step, tracing
from sslprune_jax.training import state as state_lib
from sslprune_jax.training.recipe import make_recipe
from sslprune_jax.training.state import TrainState


class Training:
  """What all rounds of a task share: one network, one recipe, one step.

  Args:
    config: the whole configuration.
    section: of its recipe: "train" or "retrain.train".
    task: what is trained.
    source: the training images; those of another seed are as many.
    probed: see `models.Network`; where it is set the head alone is trained.

  Raises:
    ConfigError: the recipe does not fit the data or the devices.
  """

  def __init__(
    self,
    config: ConfigDict,
    section: str,
    task: Task,
    source: data.Source,
    *,
    probed: str = "",
  ):
    self.task, num_images = task, len(source)
    self._section = section
    self.batch_size = config_lib.lookup(config, section).batch_size
    self.check_batch(jax.device_count(), "devices")
    recipe = make_recipe(
      config,
      section,
      num_images,
      reads=task.reads,
      own_head=task.by_epoch,
      frozen_trunk=bool(probed),
    )
    self.length = recipe.length
    self.optimizer = recipe.optimizer

    self._num_images = num_images
    self._runs_to_trace = config.profile
    updates = functools.partial(self.updates, config)
    self._log_every = max(1, updates("log.every"))
    self._checkpoint_every = max(1, updates("log.checkpoint"))
    self._evaluate_every = updates("log.evaluate")
    self._updates_per_epoch = num_images // self.batch_size
    self.network = setup.make_network(config.model, task.num_outputs, probed)
    try:
      task.check(source, models.num_features(self.network, source.image_shape))
    except ValueError as error:
      raise errors.ConfigError(f"config.{error}") from None
    self.step_of_device = step.make_step(
      self.network, task, self.optimizer, recipe.schedule
    )
    self._step = step.pmapped(self.step_of_device)
    self._evaluation_step = step.make_evaluation_step(self.network, task)
    self._extraction_step = extraction.make_step(self.network, task.normalise)

  def check_batch(self, count: int, of: str) -> None:
    """Refuses a batch that does not divide among some devices.

    Args:
      count: of the devices.
      of: what to call them.

    Raises:
      ConfigError: names the field.
    """
    if self.batch_size % count:
      raise errors.ConfigError(
        f"config.{self._section}.batch_size: found {self.batch_size}, expected "
        f"a multiple of the {count} {of}"
      )

  def updates(self, config: ConfigDict, field: str) -> int:
    """Converts a duration of a configuration to updates of this training."""
    return config_lib.updates(
      config,
      field,
      batch_size=self.batch_size,
      num_images=self._num_images,
      reads=self.task.reads,
    )

  def images(self, start: int) -> int:
    """Counts the images that the network sees in a training from an update."""
    return (self.length - start) * self.batch_size * self.task.rows

  def task_state(self, source: data.Source, seed: int) -> TaskState:
    """Returns the task's share of the state at update 0."""
    return self.task.init(rng.stream_key(seed, "task"), source)

  def run(
    self,
    directory: epath.Path,
    variables: dict[str, Tree],
    masks: masks_lib.Masks,
    images: Images,
    *,
    seed: int,
    progress: Progress,
    start: int = 0,
    task_state: TaskState | None = None,
    early: int | None = None,
    save_early: Callable[[int, TrainState], None] | None = None,
  ) -> TrainState:
    """Trains under masks, going on from the newest checkpoint if there is one.

    Args:
      directory: of the metrics and of `checkpoint/`, which the caller deletes
        once it has written what it makes of the state.
      variables: `{"params", "batch_stats"}` to start from.
      masks: to train under.
      images: to train on, and of `log.evaluate`.
      seed: of the order and of the augmentation.
      progress: the study's.
      start: update of the schedule to start from.
      task_state: to start from; by default that of update 0.
      early: the update that `save_early` saves; None for none.
      save_early: called with that update and its state.

    Returns:
      The state after the last update.

    Raises:
      DivergedError: the loss is not finite; names the last good checkpoint.
      Preempted: it was told to end, and has saved its state.
    """
    source = images.train
    state = state_lib.create(
      variables,
      masks,
      self.optimizer,
      rng.stream_key(seed, "augment"),
      step=start,
      task_state=task_state or self.task_state(source, seed),
    )
    saved = checkpoints.Checkpoints(directory / "checkpoint")
    state = saved.restore_newest(state) or state
    begin = int(state.step)
    progress.skip(self.images(start) - self.images(begin))
    feed = batches.make(
      source,
      self.batch_size * self.task.reads,
      devices.split(),
      reads=self.task.reads,
      seed=seed,
    )
    lines = MetricLines(
      directory / "metrics.jsonl",
      every=self._log_every,
      updates_per_epoch=self._updates_per_epoch,
      start=begin,
    )

    def on_metrics(update, metrics):
      lines.add(update, metrics)
      progress.advance(self.batch_size * self.task.rows, metrics)

    stops, traces = False, self._runs_to_trace > 0 and processes.is_first()
    self._runs_to_trace -= 1

    def is_early(update):
      return update == early

    def is_due(update):
      return update < self.length and update % self._checkpoint_every == 0

    def stops_at(update):
      nonlocal stops
      # The end of a stage is as good a place, and needs no checkpoint.
      stops = update < self.length and preemption.is_due()
      return stops

    def save(update, state):
      if is_early(update):
        save_early(update, state)
      if stops or is_due(update):
        saved.save(update, state)

    try:
      if is_early(begin):  # W_0; any later one is saved on the way.
        save_early(begin, state)
      for first, last in itertools.pairwise(self._pauses(begin)):
        if first > start and self._evaluates_at(first):
          lines.event(first, "evaluation", self.evaluate(state, images))
        if self._begins_epoch(first):
          epoch = first // self._updates_per_epoch
          key = rng.stream_key(seed, "epoch")
          *begun, found = self.task.begin_epoch(
            state.task_state,
            state.params["head"],
            jax.random.fold_in(key, epoch),
            source,
            functools.partial(self._extract, state.variables, source),
          )
          state = state_lib.begin_epoch(state, *begun)
          lines.event(first, "epoch", found)
        # Copied: the state's own is donated to the first update.
        shared = jax.device_get(state.task_state.shared)
        order = functools.partial(self._order, seed, source, shared)
        fed = feed.train(order, first, last)
        if traces and first == begin:
          fed = tracing.traced(fed, directory / "trace")
        state = step.fit(
          state,
          self._step,
          fed,
          on_metrics=on_metrics,
          saves_at=lambda update: is_early(update) or is_due(update),
          save=save,
          stops_at=stops_at,
        )
      return state
    except step.DivergedError as error:
      good = saved.newest() or "none"
      raise step.DivergedError(
        f"{directory}: {error}; last good checkpoint: {good}"
      ) from None
    finally:
      saved.close()
      lines.close()

  def _order(self, seed, source, shared, epoch):
    return self.task.order(seed, epoch, source, shared)

  def _begins_epoch(self, update: int) -> bool:
    return self.task.by_epoch and update % self._updates_per_epoch == 0

  def _evaluates_at(self, update: int) -> bool:
    every = self._evaluate_every
    return every > 0 and update % every == 0

  def _pauses(self, begin: int) -> list[int]:
    """Lists the updates at which the host does more than feed the devices."""
    between = (
      update
      for update in range(begin + 1, self.length)
      if self._begins_epoch(update) or self._evaluates_at(update)
    )
    return [begin, *between, self.length]

  def _extract(
    self, variables: dict[str, Tree], source: data.Source
  ) -> tuple[jax.Array, np.ndarray]:
    """Extracts the features of the training images."""
    shards = clustering.shards()
    size = -(-self.batch_size // shards) * shards
    found = extraction.extract(
      self._extraction_step, variables, source, size, shards=shards
    )
    return found.rows, found.images_by_row()

  def evaluate(self, state: TrainState, images: Images) -> dict[str, float]:
    """Returns the task's mean scores, each image counted once."""
    source = images.scored(self.task.scored_on)
    feed = batches.make(source, self.batch_size, devices.split())
    return step.evaluate(self._evaluation_step, state, feed.evaluate())

  def with_new_head(
    self,
    variables: dict[str, Tree],
    masks: masks_lib.Masks,
    image_shape: tuple[int, int, int],
    seed: int,
  ) -> tuple[dict[str, Tree], masks_lib.Masks]:
    """Puts a new head on a trunk, the same one for all tickets of a seed.

    Args:
      variables: of any network with this trunk.
      masks: of the same network.
      image_shape: (H, W, C).
      seed: of the study.

    Returns:
      Variables of this training's network, and their masks.
    """
    drawn = self.draw(image_shape, seed, "head")
    trunk = {name: variables[name]["trunk"] for name in variables}
    variables = {name: {**drawn[name], "trunk": trunk[name]} for name in trunk}
    masks = {**masks_lib.dense(variables["params"]), "trunk": masks["trunk"]}
    return variables, masks

  def draw(
    self, image_shape: tuple[int, int, int], seed: int, purpose: str
  ) -> dict[str, Tree]:
    """Draws fresh variables from the initializer."""
    key = rng.stream_key(seed, purpose)
    return state_lib.initialize(self.network, image_shape, key)
