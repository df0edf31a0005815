"""What the stages of a study share: data, trainers, tickets, result lines."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import jax
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import rounds
from sslprune_jax.data.sources import Images
from sslprune_jax.pruning import grafting, tickets
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.study import plan, results, round_files, stages, start
from sslprune_jax.study.channel_rounds import ChannelRounds
from sslprune_jax.study.early import EarlyWeights
from sslprune_jax.study.images import RETRAINING, StudyData, index_list
from sslprune_jax.study.results import Line
from sslprune_jax.study.trainers import Trainers
from sslprune_jax.study.trainings import Trainings
from sslprune_jax.study.transfers import Transfers
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training.checkpoints import Checkpoints
from sslprune_jax.training.state import TrainState
from sslprune_jax.training.trainer import Trainer
from sslprune_jax.workdir import Stage, TransferStage

Variables = dict[str, Tree]  # {"params", "batch_stats"}


class Study:
  """A study on disk; `procedure` says what its stages do.

  Attributes:
    config: configuration, without variants.
    workdir: folder of the study.
    stages: stages of the seeds, in the order in which they run.
    on_disk: what of them is done, and their results.
    trainers: trainer and first update of each stage.
    transfers: judges of the transfers.
    image_shape: (H, W, C).
    progress: bar of all studies.
    shared: trainings of all studies.
    ranked: names of the kernels that pruning may touch.
    channels: rounds that prune channels; None where weights are.
  """

  def __init__(
    self,
    config: ConfigDict,
    workdir: epath.Path,
    seeds: Sequence[int],
    cache: dict[str, Trainer],
    progress: Progress,
    name: str = "",
    shared: Trainings | None = None,
  ):
    """Opens the data, and makes what is compiled.

    Args:
      config: validated, without variants.
      workdir: folder where everything is written.
      seeds: seeds that this process runs.
      cache: trainers of all studies; see `Trainers`.
      progress: bar of all studies.
      name: name of the variant, for progress.
      shared: trainings of all studies; by default none is shared.

    Raises:
      ConfigError: the configuration does not fit the data or the devices.
    """
    self.config, self.workdir = config, workdir
    self._seeds, self.progress = seeds, progress
    self.shared = shared or Trainings(None)
    self.stages = [s for s in plan.plan(config) if s.seed in seeds]
    self.on_disk = stages.Stages(workdir, self.stages, name, progress)
    self._data = StudyData(config)
    self.image_shape = self._data.train.image_shape
    self.trainers = Trainers(config, self._data, cache)
    self._start = start.load(config, self.image_shape)
    self._early_weights = EarlyWeights()
    self.transfers = Transfers(config, self.image_shape)
    trainer = self.trainers.pretext[config.tasks[0]]
    self._uses = models.uses(trainer.network, self.image_shape)
    self.ranked = plan.ranked_kernels(config, self._uses)
    drawn = jax.eval_shape(lambda: trainer.draw(self.image_shape, 0, "init"))
    masks = self._start.ticket.masks if self._start else None
    masks = masks or masks_lib.dense(drawn["params"])
    self.channels = None
    if config.prune.structure == "channels":
      self.channels = ChannelRounds(
        config,
        self.image_shape,
        self._uses,
        self.ranked,
        drawn,
        masks,
      )
    else:
      plan.check_remaining(config, self.ranked, masks)

  def num_images(self, stage: Stage | TransferStage) -> int:
    """Counts the images that go through the network in a stage."""
    is_transfer = isinstance(stage, TransferStage)
    return (self.transfers if is_transfer else self.trainers).num_images(stage)

  def once(
    self,
    stage: Stage | TransferStage,
    run: Callable[["Study", Stage | TransferStage], list[Line]],
  ) -> None:
    """Runs a stage, unless its result is on disk."""
    images = self.num_images(stage)
    self.on_disk.once(stage.path, images, lambda: run(self, stage))
    self.shared.add(self.folder(stage))

  def save_labelled(self) -> None:
    """Saves which images are labelled, and which left out, if only some are."""
    self._data.save_left_out(self.workdir)
    purposes = self.config.tasks
    if self.trainers.retraining:
      purposes += (RETRAINING,)
    for seed, purpose in itertools.product(self._seeds, purposes):
      self._data.save_labelled(self.workdir, purpose, seed)

  def copy(self, stage: Stage, init: str) -> list[Line]:
    """Returns the lines of results of another starting point as a stage's."""
    done = dataclasses.replace(stage, init=init)
    lines = results.read(self.workdir / done.path)
    return [{**line, "init": stage.init} for line in lines]

  def draw(self, stage: Stage) -> tuple[Variables, Masks]:
    """Returns W_0 of a stage's network and its masks, full unless it has some.

    It is drawn, or its trunk is that of `config.start`.
    """
    trainer = self.trainers.trainer_for(stage)
    drawn = trainer.draw(self.image_shape, stage.seed, "init")
    masks = masks_lib.dense(drawn["params"])
    if self._start is not None:
      start = self._start.ticket
      drawn, masks = grafting.graft(
        drawn, start.variables, start.masks, own_head=True
      )
    if self.channels:
      masks = self.channels.widen(masks, drawn["params"])
    return drawn, masks

  def rewind(
    self, stage: Stage, like: Variables, like_task: TaskState
  ) -> tuple[Variables, TaskState]:
    """Reads W_k, and what the task carried along with it.

    Args:
      stage: any round of the task.
      like: variables of the same structure, W_0.
      like_task: task's share of the same structure, that of update 0.
    """
    if not self.config.prune.train_dense:
      return like, like_task  # k is 0.
    saved, k = self.early(stage), self.trainers.rewind[stage.task]
    again = stage.round < rounds.last(self.config.prune)
    return self._early_weights.read(saved, k, like, like_task, again)

  def ticket(self, stage: Stage) -> Ticket:
    """Reads W_k under the masks of a round."""
    return tickets.load(self._round(stage, stage.round) / workdir_lib.TICKET)

  def trained_ticket(self, stage: Stage | TransferStage, index: int) -> Ticket:
    """Reads what a round of the stage's task ended with."""
    return tickets.load(self._round(stage, index) / workdir_lib.TRAINED)

  def _round(self, stage: Stage | TransferStage, index: int) -> epath.Path:
    return self.workdir / Stage(stage.seed, stage.task, index).path

  def folder(self, stage: Stage | TransferStage) -> epath.Path:
    """Returns the folder of a stage."""
    return self.workdir / stage.path

  def early(self, stage: Stage) -> Checkpoints:
    """Returns the place of W_k of a stage's task."""
    return Checkpoints(self._round(stage, 0) / workdir_lib.REWIND, keep=None)

  def images(self, stage: Stage) -> Images:
    """Returns the images that a stage is trained and tested on."""
    purpose = RETRAINING if stage.init else stage.task
    return self._data.images(purpose, stage.seed)

  def place(
    self,
    stage: Stage,
    variables: Variables,
    masks: Masks,
    task_state: TaskState | None = None,
  ) -> TrainState:
    """Returns the state that training starts from."""
    return self.trainers.trainer_for(stage).new_state(
      variables,
      masks,
      self.images(stage).train,
      stage.seed,
      start=self.trainers.start(stage),
      task_state=task_state,
    )

  def save(
    self, stage: Stage, masks: Masks, early: Variables, trained: Variables
  ) -> None:
    """Saves both tickets of a round, and what remains of its layers.

    Args:
      stage: round of a task.
      masks: masks of the round.
      early: W_k.
      trained: what training ended with.
    """
    chosen = self._data.labelled_indices(stage.task, stage.seed)
    meta = {
      "rewind_update": self.trainers.rewind[stage.task],
      "labelled": None if chosen is None else index_list(chosen)["sha256"],
      "image_shape": list(self.image_shape),
    }
    if self._start:
      meta["start"] = self._start.sha256
    variables = {"ticket": early, "trained": trained}
    round_files.save(
      self.workdir, stage, masks, variables, self.config, meta, self._uses
    )
