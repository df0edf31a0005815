"""A trainer: one network, its recipe and its steps, compiled once."""

import functools
from collections.abc import Iterator

import jax
import numpy as np
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import data, models
from sslprune_jax.data import batches
from sslprune_jax.features import clustering, extraction
from sslprune_jax.pruning import grafting
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices, errors, processes, rng
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks import Task
from sslprune_jax.tasks.base import Batch, TaskState
from sslprune_jax.training import recipe as recipe_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step
from sslprune_jax.training.recipe import Calendar
from sslprune_jax.training.state import TrainState


class Trainer:
  """What all rounds of a task share: one network, one recipe, one step.

  It has no files and no state of a training: `loop.train` runs it.

  Args:
    config: the whole configuration.
    section: section of its recipe: "train" or "retrain.train".
    task: task that is trained.
    source: training images of any seed.
    epoch_size: images of an epoch, the same for all seeds; None: all of those.
    probed: endpoint that the head reads, see `models.Network`; where it is set
      the head alone is trained.

  Attributes:
    task: task that is trained.
    network: trunk and the task's head.
    optimizer: optimizer without its learning rate.
    batch_size: images of an update, over all devices.
    length: updates of the whole schedule.
    images_per_update: rows that the network sees in an update.
    calendar: what is due at which update.
    rewinds: updates whose weights some study rewinds to, of all that share it.
    step_of_device: the pure update.
    step: the same one, pmapped.
    evaluation_step: evaluation of a batch; see `step.make_evaluation_step`.

  Raises:
    ConfigError: the recipe does not fit the data or the devices.
  """

  def __init__(
    self,
    config: ConfigDict,
    section: str,
    task: Task,
    source: data.Source,
    epoch_size: int | None = None,
    *,
    probed: str = "",
  ):
    self.task, self._section = task, section
    num_images = epoch_size or len(source)
    self.rewinds: set[int] = set()
    self.batch_size = config_lib.lookup(config, section).batch_size
    self.check_batch(jax.device_count(), "devices")
    recipe = recipe_lib.make_recipe(
      config,
      section,
      num_images,
      samples=task.samples,
      own_head=task.by_epoch,
      frozen_trunk=bool(probed),
    )
    self.length, self.optimizer = recipe.length, recipe.optimizer
    self.images_per_update = self.batch_size * task.rows
    self._num_images, self._runs_to_trace = num_images, config.profile
    self.calendar = Calendar(
      length=recipe.length,
      epoch=num_images // self.batch_size,
      prepares_epochs=task.by_epoch,
      log=max(1, self.to_updates(config, "log.every")),
      save=max(1, self.to_updates(config, "log.checkpoint")),
      evaluate=self.to_updates(config, "log.evaluate"),
    )
    self.network = models.from_config(config.model, task.num_outputs, probed)
    try:
      width = models.num_features(self.network, source.image_shape)
      head = task.head(width)
      if head is not None:
        self.network = models.with_head(self.network, head)
      task.check(source, width)
    except ValueError as error:
      raise errors.ConfigError(f"config.{error}") from None
    self.step_of_device = step.make_step(
      self.network, task, self.optimizer, recipe.schedule
    )
    self.step = step.pmap(self.step_of_device)
    self.evaluation_step = step.make_evaluation_step(self.network, task)
    # What DeepCluster's own code clusters: features before their ReLU.
    clustered = self.network, task.normalise, "preactivation"
    self._extraction_step = extraction.make_step(*clustered)

  def check_batch(self, count: int, unit: str) -> None:
    """Refuses a batch that does not divide; see `recipe.check_devices`."""
    recipe_lib.check_devices(self._section, self.batch_size, count, unit)

  def to_updates(self, config: ConfigDict, field: str) -> int:
    """Converts a duration of a configuration to updates of this trainer."""
    return config_lib.updates(
      config,
      field,
      batch_size=self.batch_size,
      num_images=self._num_images,
      samples=self.task.samples,
    )

  def num_images(self, start: int = 0) -> int:
    """Counts the images that the network sees in a training from an update."""
    return (self.length - start) * self.images_per_update

  def draw(
    self, image_shape: tuple[int, int, int], seed: int, purpose: str
  ) -> dict[str, Tree]:
    """Draws `{"params", "batch_stats"}`, f32, from the initializer.

    Args:
      image_shape: (H, W, C).
      seed: seed of the study.
      purpose: name of the random stream.
    """
    key = rng.stream_key(seed, purpose)
    return state_lib.initialize(self.network, image_shape, key)

  def init_task(self, source: data.Source, seed: int) -> TaskState:
    """Returns the task's share of the state at update 0."""
    drawn = self.task.init(rng.stream_key(seed, "task"), source)
    return self.task.prepare(drawn, source)

  def with_new_head(
    self,
    variables: dict[str, Tree],
    masks: masks_lib.Masks,
    image_shape: tuple[int, int, int],
    seed: int,
  ) -> tuple[dict[str, Tree], masks_lib.Masks]:
    """Puts a new head on a trunk, the same one for all tickets of a seed.

    Args:
      variables: variables of any network with this trunk.
      masks: masks of the same network.
      image_shape: (H, W, C).
      seed: seed of the study.

    Returns:
      Variables of this trainer's network, and their masks.
    """
    drawn = self.draw(image_shape, seed, "head")
    return grafting.graft(drawn, variables, masks)

  def new_state(
    self,
    variables: dict[str, Tree],
    masks: masks_lib.Masks,
    source: data.Source,
    seed: int,
    *,
    start: int = 0,
    task_state: TaskState | None = None,
  ) -> TrainState:
    """Returns the state on the devices that a training starts from.

    Args:
      variables: `{"params", "batch_stats"}`, f32; masked here.
      masks: masks to train under.
      source: training images.
      seed: seed of augmentation.
      start: update of the schedule to start from.
      task_state: the task's share; by default that of update 0.
    """
    return state_lib.create(
      variables,
      masks,
      self.optimizer,
      rng.stream_key(seed, "augment"),
      step=start,
      task_state=task_state or self.init_task(source, seed),
    )

  def batches(
    self,
    state: TrainState,
    source: data.Source,
    seed: int,
    first: int,
    last: int,
  ) -> Iterator[Batch]:
    """Makes the batches of the updates from `first` to `last - 1`.

    Args:
      state: state at update `first`; the task's share says what is read.
      source: training images.
      seed: seed of the order, and of the crops of streamed images.
      first: number of updates done.
      last: number of updates to end with.
    """
    reads = self.task.reads
    feed = batches.make(
      source, self.batch_size * reads, devices.split(), reads=reads, seed=seed
    )
    # Copied: the state's own is donated to the first update.
    shared = jax.device_get(state.task_state.shared)
    return feed.train(
      lambda epoch: self.task.order(seed, epoch, source, shared), first, last
    )

  def begin_epoch(
    self, state: TrainState, source: data.Source, seed: int
  ) -> tuple[TrainState, dict[str, float]]:
    """Has the task prepare an epoch.

    Args:
      state: state after the epoch before.
      source: training images.
      seed: seed of the training.

    Returns:
      The state that the epoch begins with, and what to log.
    """
    epoch = int(state.step) // self.calendar.epoch
    *begun, found = self.task.begin_epoch(
      state.task_state,
      state.params["head"],
      jax.random.fold_in(rng.stream_key(seed, "epoch"), epoch),
      source,
      functools.partial(self._extract, state.variables, source),
    )
    return state_lib.begin_epoch(state, *begun), found

  def is_traced(self) -> bool:
    """Counts a run; returns whether it is among the `config.profile` first."""
    self._runs_to_trace -= 1
    return self._runs_to_trace >= 0 and processes.is_first()

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
