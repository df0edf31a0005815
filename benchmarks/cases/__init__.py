"""The cases of `run.py`, by name."""

import dataclasses
from collections.abc import Callable

from cases import (
  channels,
  checkpoints,
  clustering,
  earlier,
  images,
  probes,
  pruning,
  steps,
  study,
)


@dataclasses.dataclass(frozen=True)
class Case:
  """Two sides that compute the same.

  Attributes:
    ours: makes our side: `answer()` runs it once and returns numbers that say
      what was computed, `run()` runs it again.
    peer: makes the other one.
    ours_is: in words.
    peer_is: in words.
    target: ours over the peer's.
    time: that is held against the target: "clock", or "processor".
    both_ours: whether the peer too runs as a study of ours does, prepared by
      `environment`.
    tolerance: relative, of the numbers.
    seconds: after which no run is begun.
    least: runs, however long they take.
    most: runs.
    starts: pairs of processes, among which the seconds are divided; each has
      as many runs at least and at most.
    note: what to know of the ratio: why it is what it is, what was tried.
  """

  ours: Callable
  peer: Callable
  ours_is: str
  peer_is: str
  target: float
  time: str = "clock"
  both_ours: bool = False
  tolerance: float = 1e-3
  seconds: float = 60
  least: int = 5
  most: int = 31
  starts: int = 1
  note: str = ""


CASES = {
  name: Case(**fields)
  for module in (
    steps,
    pruning,
    channels,
    clustering,
    probes,
    images,
    checkpoints,
    earlier,
    study,
  )
  for name, fields in module.CASES.items()
}
