"""The plan of a study: its stages, in the order in which they run."""

import dataclasses
from collections.abc import Sequence

from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training of a study, and where its result lies.

  Attributes:
    seed: of the study.
    task: whose training finds the masks.
    round: of pruning; 0 is the dense network.
    init: None for the task's own training; for retraining on labels "rewind"
      (W_k), "reinit" (fresh weights), "random" (permuted mask, fresh weights)
      or "adjusted" (random mask among what training left alive, fresh weights).
  """

  seed: int
  task: str
  round: int
  init: str | None = None

  @property
  def path(self) -> str:
    """Folder below the workdir."""
    of_task, number = f"seed_{self.seed}/{self.task}", f"round_{self.round:02d}"
    if self.init is None:
      return f"{of_task}/{number}"
    return f"{of_task}/retrain/{number}/{self.init}"


@dataclasses.dataclass(frozen=True)
class Transfer:
  """One judgement of a trained network on other data.

  Attributes:
    seed: of the study.
    task: whose training the network is of; `RANDOM` for an untrained one.
    round: of pruning; of "prune" that during transfer.
    protocol: one of `config.PROTOCOLS`.
    target: a name of `config.transfer.targets`.
    fraction: of the training images of each class.
    layer: that a protocol on frozen features reads.
  """

  seed: int
  task: str
  round: int
  protocol: str
  target: str
  fraction: float = 1.0
  layer: str = "features"

  @property
  def path(self) -> str:
    """Folder below the workdir."""
    name = f"{self.protocol}_{self.target}"
    if self.fraction < 1:
      name += f"_{self.fraction:g}"
    if self.layer != "features":
      name += f"_{self.layer}"
    return (
      f"seed_{self.seed}/{self.task}/transfer/round_{self.round:02d}/{name}"
    )


RANDOM = "random"  # in place of a task


def plan(config: ConfigDict) -> list[Stage | Transfer]:
  """Lists the stages of a study in the order in which they run."""
  stages = []
  for seed in config.seeds:
    if config.transfer.random:
      stages += transfers(config, seed, RANDOM, (0,))
    for task in config.tasks:
      stages += [Stage(seed, task, i) for i in range(config.prune.rounds + 1)]
      stages += [
        Stage(seed, task, i, init)
        for i in config.retrain.rounds
        for init in config.retrain.inits
      ]
      stages += transfers(config, seed, task, config.transfer.rounds)
  return stages


def parts(named: str) -> tuple[str, str, float]:
  """Splits what `config.transfer.protocols` names.

  Args:
    named: `protocol:target`, or `protocol:target:fraction`.

  Returns:
    Protocol, target and fraction.

  Raises:
    ValueError: it has another form.
  """
  whole = ("1",) if named.count(":") == 1 else ()
  protocol, target, fraction = (*named.split(":"), *whole)
  return protocol, target, float(fraction)


def transfers(
  config: ConfigDict, seed: int, task: str, rounds: Sequence[int]
) -> list[Transfer]:
  """Lists the transfers of one task's networks.

  Args:
    config: the configuration.
    seed: of the study.
    task: or `RANDOM`, which is not pruned.
    rounds: whose networks are transferred.

  Returns:
    The stages; pruning during transfer starts from the dense network and
    passes through every round up to the last of `rounds`.
  """
  stages = []
  for named in config.transfer.protocols:
    protocol, target, fraction = parts(named)
    judged, layers = rounds, config.transfer.layers
    if protocol == "prune":
      judged = () if task == RANDOM else range(max(rounds, default=-1) + 1)
    if protocol in ("prune", "finetune"):
      layers = ("features",)
    stages += [
      Transfer(seed, task, index, protocol, target, fraction, layer)
      for index in judged
      for layer in layers
    ]
  return stages
