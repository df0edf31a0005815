"""What a criterion reads of a trained network: the task's loss, and batches."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from sslprune_jax import data
from sslprune_jax.data import batches as batches_lib
from sslprune_jax.pruning.context import Context
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.rng import stream_key
from sslprune_jax.training import step
from sslprune_jax.training.trainer import Trainer


def make(
  trainer: Trainer,
  ticket: Ticket,
  source: data.Source,
  seed: int,
  rng: np.random.Generator,
  count: int,
) -> Context:
  """Makes the context of a network that its task can still ask.

  One device of each process computes whole batches, so that scores do not
  depend on how many there are.

  Args:
    trainer: trainer of the task; its answers need no state of a training.
    ticket: network that training ended with, with its head.
    source: training images.
    seed: seed of their order and augmentation.
    rng: generator of what is drawn.
    count: number of batches.
  """
  task, task_state = trainer.task, trainer.init_task(source, seed)
  loss_of_device = step.make_loss(trainer.network, task)
  key = stream_key(seed, "scores")

  def loss(params, numbered):
    number, batch = numbered
    rest = task_state, jax.random.fold_in(key, number)

    def share(batch):
      return loss_of_device(params, ticket.batch_stats, *rest, batch)[0]

    return jax.vmap(share, axis_name=devices.AXIS)(batch)[0]

  def read() -> Iterator[Any]:
    feed = batches_lib.make(
      source,
      trainer.batch_size * task.reads,
      devices.split_alone(),
      reads=task.reads,
      seed=seed,
    )
    yield from enumerate(
      feed.train(
        lambda epoch: task.order(seed, epoch, source, task_state.shared),
        *(0, count),
      )
    )

  return Context(ticket.params, ticket.masks, rng, loss, read())
