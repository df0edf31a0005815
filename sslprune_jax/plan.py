"""The plan of a study: its stages, in the order in which they run."""

import dataclasses

from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training of a study, and where its result lies.

  Attributes:
    seed: of the study.
    task: whose training finds the masks.
    round: of pruning; 0 is the dense network.
    init: None for the task's own training; for retraining on labels "rewind"
      (W_k), "reinit" (fresh weights) or "random" (permuted mask, fresh
      weights).
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


def plan(config: ConfigDict) -> list[Stage]:
  """Lists the stages of a study in the order in which they run."""
  stages = []
  for seed in config.seeds:
    for task in config.tasks:
      stages += [Stage(seed, task, i) for i in range(config.prune.rounds + 1)]
      stages += [
        Stage(seed, task, i, init)
        for i in config.retrain.rounds
        for init in config.retrain.inits
      ]
  return stages
