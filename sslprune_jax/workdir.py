"""What a run leaves on disk: paths, file names, and fields of a result line.

A format: values and names stay when code moves. No JAX is loaded here.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

# Below the workdir.
CONFIG = "config.json"  # configuration, versions, commit, rows of its tasks
RESULTS = "results.jsonl"  # a line a metric of each stage
OVERLAPS = "overlaps.jsonl"  # of studies with variants
TRAININGS = "trainings"  # of these too: which stage did each
REPORT = "report.html"
LEFT_OUT = "left_out.json"  # broken image files, and what is wrong with each
TIMES = "times.jsonl"  # of networks, as `sslprune time` measured them
# Below the folder of a stage.
RESULT = "result.json"  # its lines; written last, so that it says: done
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint"
REWIND = "rewind"  # checkpoints of the dense training, W_k among them
TICKET = "ticket.npz"  # masks, and W_k under them
EXPORT = "export"  # folder of the network in forms of others
TRAINED = "trained.npz"  # masks, and the weights that the stage ended with
SPARSITY = "sparsity.json"
MAGNITUDES = "magnitudes.json"
LABELLED = "labelled.json"  # of a transfer: the images whose labels it saw

IDENTITY = "ticket.json"  # above transfers: which ticket they are of

UNTRAINED = "random"  # in place of a task: a network before any training

# End of the name of a metric that is of images to choose a network by.
FOR_CHOICE = "_for_choice"

# Values of `stage` in a line, and of `init` in one of `RETRAIN`.
PRETEXT, RETRAIN, TRANSFER = "pretext", "retrain", "transfer"
INITS = ("rewind", "reinit", "random", "adjusted", "narrow")
CONTROLS = INITS[2:]  # Of a mask of as many: without one yet they are "reinit".

# Field of a line -> type of its value. `init` is None, or one of `INITS`.
EVERY_STAGE: Mapping[str, type] = {
  "seed": int,
  "task": str,
  "stage": str,
  "dataset": str,
  "split": str,
  "metric": str,
  "value": float,
}
_COUNTS = {
  "round": int,
  "density": float,
  "density_of_all": float,
  "kept": int,
  "prunable": int,
  "n": int,
  "training_images": int,
}
_TRAINED = _COUNTS | {"updates": int, "rewind_update": int}
_JUDGED = _COUNTS | {
  "protocol": str,
  "target": str,
  "fraction": float,
  "layer": str,
}
# Stage -> what its lines have besides. More fields may stand in a line.
FIELDS: Mapping[str, Mapping[str, type]] = {
  PRETEXT: _TRAINED,
  RETRAIN: _TRAINED,
  TRANSFER: _JUDGED,
}
# Of lines where channels are pruned: the share of multiply-adds that remains.
COST = "density_of_multiply_adds"
# Two lines that agree in these are the same result.
CELL = (
  *("dataset", "split", "model", "task", "seed", "stage", "init", "round"),
  *("metric", "protocol", "target", "fraction", "layer"),
)


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training of a study, and where its result lies.

  Attributes:
    seed: seed of the study.
    task: task whose training finds the masks.
    round: round of pruning; 0 is the dense network.
    init: None for the task's own training; for retraining on labels "rewind"
      (W_k), "reinit" (fresh weights), "random" (permuted mask, fresh weights),
      "adjusted" (random mask among what training left alive, fresh weights) or
      "narrow" (layers of one share of their channels, fresh weights).
  """

  seed: int
  task: str
  round: int
  init: str | None = None

  @property
  def path(self) -> str:
    """Folder below the workdir."""
    folder, number = f"seed_{self.seed}/{self.task}", f"round_{self.round:02d}"
    if self.init is None:
      return f"{folder}/{number}"
    return f"{folder}/retrain/{number}/{self.init}"


# Folders of stages below the workdir, for `Path.glob`; the first is of the
# tasks' own trainings.
EVERY_ROUND = "seed_*/*/round_*"
EVERY_RETRAINING = "seed_*/*/retrain/round_*/*"
EVERY_TRANSFER = "seed_*/*/transfer/round_*/*"


def stage_folders(study: epath.Path) -> list[epath.Path]:
  """Lists the folders of the stages of a study, done or not, by their kind."""
  every = (EVERY_ROUND, EVERY_RETRAINING, EVERY_TRANSFER)
  found = (folder for each in every for folder in sorted(study.glob(each)))
  return [folder for folder in found if _is_of_stage(study, folder)]


def round_folders(study: epath.Path) -> list[epath.Path]:
  """Lists the folders of the rounds of pruning, sorted."""
  found = sorted(study.glob(EVERY_ROUND))
  return [folder for folder in found if _is_of_stage(study, folder)]


def _is_of_stage(study: epath.Path, folder: epath.Path) -> bool:
  """Tells the folder of a stage from what a user put beside it: a copy."""
  place = folder.relative_to(study).as_posix()
  stage = r"seed_\d+/[^/]+/((retrain|transfer)/round_\d+/[^/]+|round_\d+)"
  return re.fullmatch(stage, place) is not None


def parse_round(path: str) -> Stage:
  """Returns the stage whose folder a path ends with.

  Args:
    path: path of a folder that `EVERY_ROUND` matches.

  Raises:
    ValueError: the path does not end as one of `EVERY_ROUND`.
  """
  match = re.search(r"(?:^|/)seed_(\d+)/([^/]+)/round_(\d+)/?$", path)
  if not match:
    raise ValueError(f"path: found {path!r}, expected .../{EVERY_ROUND}")
  return Stage(int(match[1]), match[2], int(match[3]))


@dataclasses.dataclass(frozen=True)
class TransferStage:
  """One judgement of a trained network on other data.

  Attributes:
    seed: seed of the study.
    task: task whose training the network is of; `UNTRAINED` for none.
    round: round of pruning; of "prune" the round during transfer.
    protocol: one of `config.PROTOCOLS`.
    target: name of one of `config.transfer.targets`.
    fraction: share of the training images of each class, in (0, 1].
    layer: layer that a protocol on frozen features reads.
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


def folder_of(line: Mapping[str, Any]) -> str:
  """Returns the folder below the workdir of the stage that a line is of.

  Args:
    line: line of results.jsonl.

  Raises:
    KeyError, TypeError, ValueError: a field of it is missing, or no such value.
  """
  if line["stage"] != TRANSFER:
    fields = ("seed", "task", "round", "init")
    return Stage(*(line[name] for name in fields)).path
  fields = ("seed", "task", "round", "protocol", "target", "fraction", "layer")
  return TransferStage(*(line[name] for name in fields)).path


def labelled_path(seed: int, purpose: str) -> str:
  """Returns the file of the labelled images that a seed's trainings see.

  Args:
    seed: seed of the study.
    purpose: name of the task, or "retrain".
  """
  return f"seed_{seed}/labelled_{purpose}.json"
