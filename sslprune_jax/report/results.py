"""Runs on disk -> checked rows, joined by what may share axes."""

import collections
import dataclasses
import json
import math
from collections.abc import Iterable, Sequence

from etils import epath

from sslprune_jax.runtime.errors import UserError

TASKS = {
  "labels": "Labels",
  "rotnet": "RotNet",
  "exemplar": "Exemplar",
  "npid": "NPID",
  "s4l": "S4L RotNet",
  "deepcluster": "DeepCluster",
}
# What the paper's figures compare besides tasks.
SERIES = TASKS | {
  "few_images": "Labels, few images",
  "few_classes": "Labels, few classes",
  "s4l_few_images": "S4L, few images",
  "s4l_few_classes": "S4L, few classes",
  "epochs": "equal epochs",
  "samples": "equal samples",
  "updates": "equal updates",
  "share": "equal share",
}
PROBLEMS = {  # What the accuracy of a task itself is of.
  "labels": "the class",
  "rotnet": "the angle of four that an image was turned by",
  "exemplar": "the view in a batch that is of the same image",
  "npid": "the class that the nearest rows of the memory bank vote for",
  "s4l": "the class",
  "deepcluster": "the cluster that a training image was put into",
}
INITS = {
  "rewind": "winning ticket",
  "reinit": "random re-init",
  "random": "random mask",
  "adjusted": "adjusted random mask",
}
STAGES = ("pretext", "retrain")  # of a study itself
TRANSFER = "transfer"  # of its networks, to other data

_EVERY_STAGE = {
  "seed": int,
  "task": str,
  "stage": str,
  "dataset": str,
  "split": str,
  "metric": str,
  "value": float,
}
_OUR_STAGES = {
  "round": int,
  "density": float,
  "density_of_all": float,
  "kept": int,
  "prunable": int,
  "n": int,
  "training_images": int,
}
_FIELDS = {
  "pretext": _OUR_STAGES | {"updates": int, "rewind_update": int},
  "retrain": _OUR_STAGES | {"updates": int, "rewind_update": int},
  TRANSFER: _OUR_STAGES
  | {"protocol": str, "target": str, "fraction": float, "layer": str},
}
_KIND = {int: "a whole number", float: "a finite number", str: "a text"}
_CELL = (
  "dataset split model task seed stage init round metric protocol target "
  "fraction layer"
).split()


class ResultsError(UserError, ValueError):
  """A run that cannot be reported, in one line."""


@dataclasses.dataclass(frozen=True)
class Run:
  """One workdir: `rows` of results.jsonl, `sparsity` of each round."""

  name: str
  path: epath.Path
  config: dict
  versions: dict
  commit: str | None
  rows: list[dict]
  sparsity: list[dict]


@dataclasses.dataclass(frozen=True)
class Setting:
  """Results that may share axes: one data set, one split, one network.

  A task without an answer for new images (DeepCluster) is scored on training
  images. Its rows stand with those of its masks, retrained and tested.
  """

  dataset: str
  split: str
  model: str
  rows: list[dict]
  sparsity: list[dict]


def task_name(task: str) -> str:
  """Returns how figures and tables write a task, or another series."""
  return SERIES.get(task, task)


def rank(names: Iterable[str], name: str | None) -> tuple[int, str]:
  """Returns a sort key: the order of `names`, all other names after them."""
  known = list(names)
  return (known.index(name) if name in known else len(known), name or "")


def read(paths: Sequence[epath.PathLike]) -> list[Run]:
  """Reads workdirs, and refuses a result that two of them hold.

  Args:
    paths: the workdirs.

  Returns:
    One run a path, in that order, its rows completed with `run` and `model`.

  Raises:
    ResultsError: a missing file, a broken line, a result given twice.
  """
  paths = [epath.Path(path) for path in paths]
  names = [path.name for path in paths]
  runs = [
    _read_run(path, path.name if names.count(path.name) == 1 else str(path))
    for path in paths
  ]
  seen = {}
  for row in (row for run in runs for row in run.rows):
    if row["stage"] not in _FIELDS:
      continue
    cell = tuple(row.get(field) for field in _CELL)
    if cell in seen:
      what = ", ".join(f"{f} {row[f]}" for f in _CELL if row.get(f) is not None)
      raise ResultsError(
        f"the same result twice, in run {seen[cell]} and in run {row['run']}: "
        f"{what}; give each run a page of its own"
      )
    seen[cell] = row["run"]
  return runs


def settings(runs: Iterable[Run]) -> list[Setting]:
  """Joins runs, and parts what must not share axes."""
  rows = collections.defaultdict(list)
  sparsity = collections.defaultdict(list)
  for run in runs:
    own = [row for row in run.rows if row["stage"] in STAGES]
    tested = {row["split"] for row in own if row["stage"] == "retrain"}
    keys = set()
    for row in own:
      split = next(iter(tested)) if len(tested) == 1 else row["split"]
      key = row["dataset"], split, row["model"]
      keys.add(key)
      rows[key].append(row)
    for key in keys:
      sparsity[key] += run.sparsity
  return [Setting(*key, rows[key], sparsity[key]) for key in rows]


def _read_run(path: epath.Path, name: str) -> Run:
  file = path / "results.jsonl"
  if not file.exists():
    raise ResultsError(
      f"no results: {file} does not exist (is {path} the workdir of a study, "
      "and has a first stage of it finished?)"
    )
  about = read_json(path / "config.json")
  config = about.get("config", {})
  model = config.get("model", {}).get("name", "network")
  learnt = config.get("dataset", {}).get("name", "data")
  rows = []
  for number, line in enumerate(file.read_text().splitlines(), start=1):
    if line.strip():
      row = _row(line, f"{file}, line {number}")
      rows.append({"run": name, "model": model, **row})
      if row["stage"] == TRANSFER:
        rows[-1]["learnt"] = learnt
  if not rows:
    raise ResultsError(f"no results yet: {file} is empty")
  sparsity = [
    {
      "seed": int(entry.parts[-4].removeprefix("seed_")),
      "task": entry.parts[-3],
      "round": int(entry.parts[-2].removeprefix("round_")),
      **read_json(entry),
    }
    for entry in sorted(path.glob("seed_*/*/round_*/sparsity.json"))
  ]
  versions, commit = about.get("versions", {}), about.get("commit")
  return Run(name, path, config, versions, commit, rows, sparsity)


def read_json_lines(file: epath.Path) -> list[dict]:
  """Reads lines of JSON.

  Raises:
    ResultsError: a line is not JSON.
  """
  lines = []
  for number, line in enumerate(file.read_text().splitlines(), start=1):
    try:
      lines.append(json.loads(line))
    except ValueError as error:
      where = f"{file}, line {number}"
      raise ResultsError(f"{where}: not JSON ({error})") from None
  return lines


def read_json(file: epath.Path) -> dict:
  """Reads a JSON file.

  Raises:
    ResultsError: it is missing, or not JSON.
  """
  try:
    return json.loads(file.read_text())
  except FileNotFoundError:
    raise ResultsError(f"{file} does not exist") from None
  except ValueError as error:
    raise ResultsError(f"{file}: not JSON ({error})") from None


def _row(line: str, where: str) -> dict:
  try:
    row = json.loads(line)
  except ValueError as error:
    raise ResultsError(f"{where}: not JSON ({error})") from None
  if not isinstance(row, dict):
    raise ResultsError(f"{where}: not a JSON object")
  of_stage = _FIELDS.get(row.get("stage"), {})
  for field, kind in (_EVERY_STAGE | of_stage).items():
    if field not in row:
      raise ResultsError(f"{where}: no field {field!r}")
    value = row[field]
    allowed = (int, float) if kind is float else kind
    wrong = isinstance(value, bool) or not isinstance(value, allowed)
    if wrong or (kind is float and not math.isfinite(value)):
      raise ResultsError(f"{where}: {field} is {value!r}, not {_KIND[kind]}")
  if row["metric"] == "accuracy" and not 0 <= row["value"] <= 1:
    raise ResultsError(f"{where}: accuracy {row['value']} is outside 0..1")
  if of_stage and not 0 < row["density"] <= 1:
    raise ResultsError(f"{where}: density {row['density']} is outside (0, 1]")
  if row["stage"] == "retrain" and not isinstance(row.get("init"), str):
    raise ResultsError(f"{where}: a retrain result without an init")
  row.setdefault("init", None)
  return row
