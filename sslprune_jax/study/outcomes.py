"""What a stage of training ends with: trained, or taken from an equal one."""

import contextlib
import dataclasses

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.study import results, trainings
from sslprune_jax.study.study import Study, Variables
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training import loop
from sslprune_jax.training.state import TrainState
from sslprune_jax.workdir import Stage


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a training ended with.

  Attributes:
    masks: masks that it was under.
    variables: `{"params", "batch_stats"}`, f32, under the masks. Of a
      retraining that another stage did they are those that it began with:
      nothing reads the others, which are kept nowhere.
    scores: scores of the task, by their metrics.
  """

  masks: Masks
  variables: Variables
  scores: dict[str, float]


def judge(
  study: Study,
  stage: Stage,
  variables: Variables,
  masks: Masks,
  task_state: TaskState | None = None,
) -> Outcome:
  """Scores a network as it is; takes what `train` does."""
  return _evaluate(
    study, stage, study.place(stage, variables, masks, task_state)
  )


def train(
  study: Study,
  stage: Stage,
  variables: Variables,
  masks: Masks,
  task_state: TaskState | None = None,
) -> Outcome:
  """Trains under masks, unless another stage has; the dense one saves W_k.

  Args:
    study: study that the stage is of.
    stage: round of a task, or a retraining.
    variables: variables to start from, f32.
    masks: masks to train under.
    task_state: task's share to start from; by default that of update 0.
  """
  trainer, directory = study.trainers.trainer_for(stage), study.folder(stage)
  is_dense = stage.round == 0 and not stage.init
  if study.shared.root is not None:
    k = study.trainers.rewind[stage.task] if is_dense else None
    start = variables, masks, task_state
    key = trainings.key(study.trainers.describe(stage), start)
    donor = study.shared.find(key, directory, k)
    if donor is not None:
      study.progress.skip(study.num_images(stage))
      trainings.copy(donor, directory, k)
      return _take(donor, study.place(stage, *start))
  with contextlib.closing(study.early(stage)) as early:
    state = loop.train(
      trainer,
      # Held by nobody else: memory is short where a checkpoint replaces it.
      study.place(stage, variables, masks, task_state),
      study.images(stage),
      directory,
      stage.seed,
      study.progress,
      early=early,
      rewinds=trainer.rewinds if is_dense else (),
    )
  return _evaluate(study, stage, state)


def _take(donor, begun: TrainState) -> Outcome:
  scores = {line["metric"]: line["value"] for line in results.read(donor)}
  trained, variables = donor / workdir_lib.TRAINED, begun.variables
  if trained.exists():
    variables = tickets.load(trained).variables
  return Outcome(begun.masks, variables, scores)


def _evaluate(study: Study, stage: Stage, state: TrainState) -> Outcome:
  trainer = study.trainers.trainer_for(stage)
  scores = loop.evaluate(trainer, state, study.images(stage))
  return Outcome(state.masks, state.variables, scores)
