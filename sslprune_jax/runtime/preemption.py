"""Preemption: a signal says that the study is to end.

Cloud TPU sends SIGTERM to spot machines, SLURM to jobs whose time is up, people
press Ctrl-C. The study saves the update that it is at and ends; the same
command goes on from there.
"""

import itertools

from jax.experimental import multihost_utils

from sslprune_jax.runtime import endings, processes


class Preempted(Exception):  # noqa: N818
  """Says that the study has saved what it did, and ends."""


_asked_about = itertools.count()


def is_due() -> bool:
  """Returns whether to save and end here.

  Several processes ask in step, and all are told to end at the same call: the
  signal may reach any one of them, and JAX's runtime tells the others.
  """
  if processes.count() > 1:
    return multihost_utils.reached_preemption_sync_point(next(_asked_about))
  return endings.ending_signal() is not None


def check() -> None:
  """Ends here if that is due, where there is nothing to save.

  Raises:
    Preempted: it is due.
  """
  if is_due():
    raise Preempted
