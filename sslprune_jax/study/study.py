"""What the stages of a study share: data, trainers, tickets, result lines."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Sequence

import jax
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.data.sources import Images
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.study import plan, results, round_files, stages, start
from sslprune_jax.study.images import RETRAINING, StudyData, index_list
from sslprune_jax.study.results import Line
from sslprune_jax.study.trainers import Trainers
from sslprune_jax.study.transfers import Transfers
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training import loop
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
    ranked: names of the kernels that pruning may touch.
  """

  def __init__(
    self,
    config: ConfigDict,
    workdir: epath.Path,
    seeds: Sequence[int],
    cache: dict[str, Trainer],
    progress: Progress,
    name: str = "",
  ):
    """Opens the data, and makes what is compiled.

    Args:
      config: validated, without variants.
      workdir: folder where everything is written.
      seeds: seeds that this process runs.
      cache: trainers of all studies; see `Trainers`.
      progress: bar of all studies.
      name: name of the variant, for progress.

    Raises:
      ConfigError: the configuration does not fit the data or the devices.
    """
    self.config, self.workdir = config, workdir
    self._seeds, self.progress = seeds, progress
    self.stages = [s for s in plan.plan(config) if s.seed in seeds]
    self.on_disk = stages.Stages(workdir, self.stages, name, progress)
    self._data = StudyData(config)
    self.image_shape = self._data.train.image_shape
    self._start = start.load(config, self.image_shape)
    self.trainers = Trainers(config, self._data, cache)
    self.transfers = Transfers(config, self.image_shape)
    trainer = self.trainers.pretext[config.tasks[0]]
    self._uses = models.uses(trainer.network, self.image_shape)
    self.ranked = plan.ranked_kernels(config, self._uses)
    drawn = jax.eval_shape(lambda: trainer.draw(self.image_shape, 0, "init"))
    masks = self._start.ticket.masks if self._start else None
    masks = masks or masks_lib.dense(drawn["params"])
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
    if self._start is None:
      return drawn, masks_lib.dense(drawn["params"])
    ticket = self._start.ticket
    return tickets.graft(drawn, ticket.variables, ticket.masks, own_head=True)

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
    with contextlib.closing(self._early(stage)) as early:
      return early.rewind(self.trainers.rewind[stage.task], like, like_task)

  def ticket(self, stage: Stage) -> Ticket:
    """Reads W_k under the masks of a round."""
    return tickets.load(self._round(stage, stage.round) / workdir_lib.TICKET)

  def trained_ticket(self, stage: Stage | TransferStage, index: int) -> Ticket:
    """Reads what a round of the stage's task ended with."""
    return tickets.load(self._round(stage, index) / workdir_lib.TRAINED)

  def _round(self, stage: Stage | TransferStage, index: int) -> epath.Path:
    return self.workdir / Stage(stage.seed, stage.task, index).path

  def _early(self, stage: Stage) -> Checkpoints:
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
    """Returns the state that `train` starts from, which takes the same."""
    return self.trainers.trainer_for(stage).new_state(
      variables,
      masks,
      self.images(stage).train,
      stage.seed,
      start=self.trainers.start(stage),
      task_state=task_state,
    )

  def train(
    self,
    stage: Stage,
    variables: Variables,
    masks: Masks,
    task_state: TaskState | None = None,
  ) -> TrainState:
    """Trains under masks; the dense training of a task saves W_k.

    Args:
      stage: stage to run.
      variables: variables to start from, f32.
      masks: masks to train under.
      task_state: task's share to start from; by default that of update 0.

    Returns:
      The state after the last update.
    """
    trainer, images = self.trainers.trainer_for(stage), self.images(stage)
    k = self.trainers.rewind[stage.task]
    with contextlib.closing(self._early(stage)) as early:
      return loop.train(
        trainer,
        # Held by nobody else: memory is short where a checkpoint replaces it.
        self.place(stage, variables, masks, task_state),
        images,
        self.workdir / stage.path,
        stage.seed,
        self.progress,
        early=early,
        k=k if stage.round == 0 and not stage.init else None,
      )

  def save(
    self, stage: Stage, masks: Masks, early: Variables, state: TrainState
  ) -> None:
    """Saves both tickets of a round, and what remains of its layers.

    Args:
      stage: round of a task.
      masks: masks of the round.
      early: W_k.
      state: state that training ended with.
    """
    chosen = self._data.labelled_indices(stage.task, stage.seed)
    meta = {
      "rewind_update": self.trainers.rewind[stage.task],
      "labelled": None if chosen is None else index_list(chosen)["sha256"],
      "image_shape": list(self.image_shape),
    }
    if self._start:
      meta["start"] = self._start.sha256
    variables = {"ticket": early, "trained": state.variables}
    round_files.save(
      self.workdir, stage, masks, variables, self.config, meta, self._uses
    )
