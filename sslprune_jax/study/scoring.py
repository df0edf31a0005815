"""The scores of what a stage trained, as lines of results."""

import numpy as np

from sslprune_jax.config import network_name
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import sparsity
from sslprune_jax.study import plan
from sslprune_jax.study.outcomes import Outcome
from sslprune_jax.study.results import Line
from sslprune_jax.study.study import Study
from sslprune_jax.workdir import Stage


def write(study: Study, stage: Stage, outcome: Outcome) -> list[Line]:
  """Writes what a training ended with as lines of results.

  Args:
    study: study that the stage is of.
    stage: round of a task, or a retraining.
    outcome: what it ended with.

  Returns:
    A line of results for each metric.

  Raises:
    ValueError: a weight under the mask is not 0.
  """
  trainer, images = study.trainers.trainer_for(stage), study.images(stage)
  masks, params = outcome.masks, outcome.variables["params"]
  masks_lib.check_pruned(masks, params)
  line = {
    "seed": stage.seed,
    "task": stage.task,
    "stage": plan.kind(stage),
    "round": stage.round,
    "init": stage.init,
    **masks_lib.shares(masks, params),
    "density_of_ranked": sparsity.density_of(masks, study.ranked),
    **(study.channels.shares(masks) if study.channels else {}),
    "model": network_name(study.config.model),
    "dataset": study.config.dataset.name,
    "split": study.config.dataset[trainer.task.scored_on],
    "n": len(images.scored_source(trainer.task.scored_on)),
    "updates": study.trainers.num_updates(stage),
    "training_images": len(images.train),
    "rewind_update": study.trainers.rewind[stage.task],
  }
  accuracy = {"chance": _chance(study, stage)}
  return [
    {**line, "metric": metric, "value": value}
    | (accuracy if metric == "accuracy" else {})
    for metric, value in outcome.scores.items()
  ]


def _chance(study: Study, stage: Stage) -> float:
  """Returns the accuracy of guessing: of few classes, one of these."""
  task = study.trainers.trainer_for(stage).task
  drawn = study.config.labels.classes < 1 and not stage.init
  if not drawn or not TASKS[stage.task].reads_labels:
    return task.chance
  tested = study.images(stage).scored_source(task.scored_on)
  return 1 / len(np.unique(tested.labels))
