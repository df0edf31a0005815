"""Runs on disk -> checked rows, joined by what may share axes."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence

from absl import logging
from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report import forms
from sslprune_jax.report import names as names_lib
from sslprune_jax.report.names import Names
from sslprune_jax.report.records import (
  ResultsError,
  check_line,
  read_config,
  read_json_lines,
  read_of_stage,
  read_tasks,
)


@dataclasses.dataclass(frozen=True)
class Run:
  """One workdir.

  Attributes:
    name: name of its folder, or the path where several have that name.
    path: the workdir.
    config: resolved configuration, {} where there is none.
    versions: library -> version that ran it.
    commit: commit that ran it; None where it is not known.
    tasks: task -> its label, colour and problem, as far as the run says them.
    rows: lines of results.jsonl.
    sparsity: sparsity.json of each round, with its `seed, task, round`.
    magnitudes: magnitudes.json of each round, likewise.
    left_out: sentences on what could not be read, each with its file.
  """

  name: str
  path: epath.Path
  config: dict
  versions: dict
  commit: str | None
  tasks: dict[str, dict[str, str]]
  rows: list[dict]
  sparsity: list[dict]
  magnitudes: list[dict]
  left_out: list[str]


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


def read(paths: Sequence[epath.PathLike]) -> list[Run]:
  """Reads workdirs, and refuses a result that two of them hold.

  Args:
    paths: the workdirs.

  Returns:
    One run a path, in that order, its rows completed with `run` and `model`.
    A value that is not finite, and a round whose layers cannot be read, are
    left out, and said.

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
    if row["stage"] not in workdir.FIELDS:
      continue
    cell = {field: row.get(field) for field in workdir.CELL}
    key = tuple(cell.values())
    if key in seen:
      what = ", ".join(f"{f} {v}" for f, v in cell.items() if v is not None)
      raise ResultsError(
        f"the same result twice, in run {seen[key]} and in run {row['run']}: "
        f"{what}; give each run a page of its own"
      )
    seen[key] = row["run"]
  return runs


def name_tasks(runs: Iterable[Run], series: Iterable[str] = ()) -> Names:
  """Decides how a report of some runs shows their tasks.

  Args:
    runs: all runs of the report; what the first of them says of a task counts.
    series: names of what the report compares besides tasks.
  """
  runs = list(runs)
  tasks = {row["task"] for run in runs for row in run.rows}
  return names_lib.collect(
    [run.tasks for run in runs], {*tasks, *series} - {workdir.UNTRAINED}
  )


def settings(runs: Iterable[Run]) -> list[Setting]:
  """Joins runs, and parts what must not share axes.

  Args:
    runs: runs of one page.

  Returns:
    Settings with results of a study itself, in the order in which they come.
  """
  rows = collections.defaultdict(list)
  sparsity = collections.defaultdict(list)
  for run in runs:
    stages = workdir.PRETEXT, workdir.RETRAIN
    own = [row for row in run.rows if row["stage"] in stages]
    tested = {row["split"] for row in own if row["stage"] == workdir.RETRAIN}
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
  file = path / workdir.RESULTS
  if not file.exists():
    raise ResultsError(
      f"no results: {file} does not exist (is {path} the workdir of a study, "
      "and has a first stage of it finished?)"
    )
  about = read_config(path / workdir.CONFIG)
  for field, form in forms.CONFIG.items():
    forms.check(about.get(field, {}), form, f"{path / workdir.CONFIG}: {field}")
  config = about.get("config", {})
  model = config.get("model", {}).get("name", "network")
  learnt = config.get("dataset", {}).get("name", "data")
  protocols = about.get("protocols", {})
  rows, left_out = [], []
  for where, line in read_json_lines(file):
    if words := _not_finite(line):
      left_out.append(f"{where}: {words}, expected a finite number")
      continue
    check_line(line, where)
    rows.append({"run": name, "model": model, **line})
    rows[-1].setdefault("init", None)
    if line["stage"] == workdir.TRANSFER:
      rows[-1]["learnt"] = learnt
      if line["protocol"] not in names_lib.PROTOCOLS:  # Of a user's package.
        label = protocols.get(line["protocol"], {}).get("label")
        rows[-1]["protocol_label"] = label or line["protocol"]
  if not rows:
    raise ResultsError(
      "; ".join(left_out) or f"no results yet: {file} is empty"
    )
  sparsity, unread = _read_rounds(path, workdir.SPARSITY)
  magnitudes, unknown = _read_rounds(path, workdir.MAGNITUDES)
  left_out += unread + unknown
  for words in left_out:
    logging.warning("left out: %s", words)
  return Run(
    name,
    path,
    config,
    about.get("versions", {}),
    about.get("commit"),
    read_tasks(path / workdir.CONFIG),
    rows,
    sparsity,
    magnitudes,
    left_out,
  )


def _not_finite(line: dict) -> str:
  """Returns the first field that is no finite number, and what it is; or ""."""
  for field, value in line.items():
    if isinstance(value, float) and not math.isfinite(value):
      return f"{field}: found {value}"
  return ""


def _read_rounds(path: epath.Path, name: str) -> tuple[list[dict], list[str]]:
  """Reads a file of JSON of every round of a workdir.

  Args:
    path: the workdir.
    name: name of the file in the folder of a round.

  Returns:
    The objects with their `seed`, `task` and `round`, and sentences on those
    that cannot be read.
  """
  found, unread = [], []
  for file in sorted(path.glob(f"{workdir.EVERY_ROUND}/{name}")):
    stage = workdir.parse_round(str(file.parent))
    about = {"seed": stage.seed, "task": stage.task, "round": stage.round}
    try:
      content = read_of_stage(file)
      forms.check(content, forms.OF_ROUND[name], str(file))
      found.append(about | content)
    except ResultsError as error:
      unread.append(str(error))
  return found, unread
