"""The own score of what a stage trained, as lines of results."""

from sslprune_jax.config import network_name
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import sparsity
from sslprune_jax.study import plan
from sslprune_jax.study.results import Line
from sslprune_jax.study.study import Study
from sslprune_jax.training import loop
from sslprune_jax.training.state import TrainState
from sslprune_jax.workdir import Stage


def evaluate(study: Study, stage: Stage, state: TrainState) -> list[Line]:
  """Evaluates the last weights of a stage.

  Args:
    study: study that the stage is of.
    stage: round of a task, or a retraining.
    state: state that the stage ended with.

  Returns:
    A line of results for each metric.

  Raises:
    ValueError: a weight under the mask is not 0.
  """
  trainer, images = study.trainers.trainer_for(stage), study.images(stage)
  masks_lib.check_pruned(state.masks, state.params)
  scores = loop.evaluate(trainer, state, images)
  line = {
    "seed": stage.seed,
    "task": stage.task,
    "stage": plan.kind(stage),
    "round": stage.round,
    "init": stage.init,
    **masks_lib.shares(state.masks, state.params),
    "density_of_ranked": sparsity.density_of(state.masks, study.ranked),
    "model": network_name(study.config.model),
    "dataset": study.config.dataset.name,
    "split": study.config.dataset[trainer.task.scored_on],
    "n": len(images.scored_source(trainer.task.scored_on)),
    "updates": study.trainers.num_updates(stage),
    "training_images": len(images.train),
    "rewind_update": study.trainers.rewind[stage.task],
  }
  return [
    {**line, "metric": metric, "value": value}
    | ({"chance": trainer.task.chance} if metric == "accuracy" else {})
    for metric, value in scores.items()
  ]
