"""Preemption: SIGTERM says that the machine will be taken away.

Cloud TPU sends it to spot machines, SLURM to jobs whose time is up. The study
saves the update that it is at and ends; the same command goes on from there.
"""

import itertools
import signal

from jax.experimental import multihost_utils

from sslprune_jax.runtime import processes


class Preempted(Exception):  # noqa: N818
  """Says that the study has saved what it did, and ends."""


_was_asked = False
_asked_about = itertools.count()


def watch() -> None:
  """Notes a SIGTERM from now on, in place of ending at once.

  Where there are several processes JAX's runtime notes it, as any one may be
  asked to end.
  """
  if processes.count() == 1:
    signal.signal(signal.SIGTERM, _notice)


def _notice(number, frame) -> None:
  del number, frame
  global _was_asked
  _was_asked = True


def is_due() -> bool:
  """Returns whether to save and end here.

  Several processes ask in step, and all are told to end at the same call.
  """
  if processes.count() > 1:
    return multihost_utils.reached_preemption_sync_point(next(_asked_about))
  return _was_asked


def check() -> None:
  """Ends here if that is due, where there is nothing to save.

  Raises:
    Preempted: it is due.
  """
  if is_due():
    raise Preempted
