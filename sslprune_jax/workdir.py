"""What a run leaves on disk: its stages, and where each lies below the workdir.

A format: values and names stay when code moves. No JAX is loaded here.
"""

import dataclasses

UNTRAINED = "random"  # in place of a task: a network before any training


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
class TransferStage:
  """One judgement of a trained network on other data.

  Attributes:
    seed: of the study.
    task: whose training the network is of; `UNTRAINED` for an untrained one.
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
