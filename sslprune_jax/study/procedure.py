"""Section 3 of the paper: train, prune, rewind, retrain, transfer.

For every seed and task: train the dense network and keep W_k; then, round by
round, prune a share of what remains, rewind to W_k and train again, or go on
from the trained weights (`prune.restart_from`); then
retrain the masks of chosen rounds on labels, from W_k, from fresh weights, and
against random controls, and transfer the networks of chosen rounds to other
data. A stage whose result is on disk is not run again.

Reference: Caron et al. 2020, arXiv 2001.03554, section 3.
"""

from sslprune_jax.config import protocols
from sslprune_jax.pruning import controls, magnitude, sparsity
from sslprune_jax.pruning.context import Context
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.rng import stream_generator
from sslprune_jax.study import outcomes, plan, scoring
from sslprune_jax.study.results import Line
from sslprune_jax.study.study import Study
from sslprune_jax.training import context as context_lib
from sslprune_jax.workdir import UNTRAINED, Stage, TransferStage


def run(study: Study, seed: int) -> None:
  """Runs the stages of a seed in order."""
  procedures = {"pretext": pretrain, "retrain": retrain, "transfer": transfer}
  for stage in study.stages:
    if stage.seed == seed:
      study.once(stage, procedures[plan.kind(stage)])


def pretrain(study: Study, stage: Stage) -> list[Line]:
  """Round 0 trains the dense network; round i prunes it further and trains."""
  trainer, seed = study.trainers.trainer_for(stage), stage.seed
  variables, masks = study.draw(stage)  # W_0
  task_state = trainer.init_task(study.images(stage).train, seed)
  if stage.round > 0:
    settings = study.config.prune
    one_shot = settings.method == "one-shot"
    before = study.trained_ticket(stage, 0 if one_shot else stage.round - 1)
    masks = prune(study, stage, before)
    early, rewound = study.rewind(stage, variables, task_state)  # W_k
    # A schedule that restarts does so with what the task starts from.
    task_state = rewound if study.trainers.start(stage) else task_state
    # What is cut at once, and not trained, keeps the trained weights.
    keeps = one_shot or settings.restart_from == "trained"
    variables = before.variables if keeps else early
  # A dense network that is not trained stays as it came.
  run = outcomes.train if study.trainers.trains(stage) else outcomes.judge
  outcome = run(study, stage, variables, masks, task_state)
  if stage.round == 0:
    early, _ = study.rewind(stage, variables, task_state)
  study.save(stage, masks, early, outcome.variables)
  return scoring.write(study, stage, outcome)


def prune(study: Study, stage: Stage, before: Ticket) -> Masks:
  """Returns the masks of a round, those of a trained network pruned further."""
  settings = study.config.prune
  rng = stream_generator(stage.seed, f"ties {stage.round}")
  if study.channels:
    context = Context(before.params, before.masks, rng)
    if settings.criterion == "taylor":
      trainer = study.trainers.trainer_for(stage)
      images = study.images(stage).train
      context = context_lib.make(
        trainer, before, images, stage.seed, rng, settings.batches
      )
    return study.channels.prune(stage.round, context)
  ranked = (
    magnitude.score("magnitude", before.params, before.masks),
    before.masks,
  )
  together = {"scope": settings.scope, "layers": study.ranked}
  if settings.method == "one-shot":
    density = settings.densities[stage.round - 1]
    return magnitude.prune_to(*ranked, density, rng, **together)
  return magnitude.prune(*ranked, settings.rate, rng, **together)


def retrain(study: Study, stage: Stage) -> list[Line]:
  """Trains the mask of a round on labels, from one of the starting points."""
  if study.trainers.is_reinit(stage):
    return study.copy(stage, init="reinit")
  trainer, seed = study.trainers.trainer_for(stage), stage.seed
  ticket = study.ticket(stage)
  variables = trainer.draw(study.image_shape, seed, "reinit")
  masks = ticket.masks
  rng = stream_generator(seed, f"{stage.init} {stage.task} {stage.round}")
  if stage.init == "rewind":  # The winning ticket: W_k under the mask.
    variables = ticket.variables
  elif stage.init == "narrow":  # As much of the network, alike in all layers.
    masks = study.channels.narrow(masks)
  elif stage.init == "random" and study.channels:
    masks = study.channels.random(masks, rng)
  elif stage.init == "random":  # As many weights, anywhere.
    masks = controls.permute(masks, rng, study.ranked)
  elif stage.init == "adjusted":  # Among those that training left alive.
    dense = study.trained_ticket(stage, 0)
    alive = sparsity.nonzero_masks(
      dense.params, dense.masks, sparsity.MACHINE_PRECISION
    )
    masks = controls.adjust(masks, alive, rng, study.ranked)
  if not study.trainers.keeps_head(stage):
    variables, masks = trainer.with_new_head(
      variables, masks, study.image_shape, seed
    )
  outcome = outcomes.train(study, stage, variables, masks)
  return scoring.write(study, stage, outcome)


def transfer(study: Study, stage: TransferStage) -> list[Line]:
  """Judges the network that a round ended with on other data."""
  if stage.task == UNTRAINED:
    ticket = study.transfers.random(stage.seed)
  else:
    # What is pruned during transfer starts dense.
    prunes = protocols.find(stage.protocol).every_round
    index = 0 if prunes else stage.round
    ticket = study.trained_ticket(stage, index)
  return study.transfers.run(stage, ticket, study.workdir, study.progress)
