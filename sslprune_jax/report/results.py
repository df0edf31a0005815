"""Runs on disk -> checked rows."""

import dataclasses
import math
import operator
from collections.abc import Iterable, Sequence

from absl import logging
from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report import forms, rounds
from sslprune_jax.report import names as names_lib
from sslprune_jax.report.names import Names
from sslprune_jax.report.records import (
  ResultsError,
  check_line,
  read_config,
  read_lines_of_stages,
  read_tasks,
)

# What ran before there was such a field.
_BEFORE = {"method": "rounds", "structure": "weights", "restart_from": "rewind"}


@dataclasses.dataclass(frozen=True)
class Run:
  """One workdir.

  Attributes:
    name: name of its folder, or the path where several have that name.
    path: the workdir.
    config: resolved configuration, {} where there is none.
    versions: library -> version that ran it.
    commit: commit that ran it; None where it is not known.
    start: SHA-256 of the network that it started from; "" where it was drawn.
    tasks: task -> its label, colour and problem, as far as the run says them.
    rows: lines of results.jsonl.
    sparsity: sparsity.json of each round, with its `seed, task, round`.
    magnitudes: magnitudes.json of each round, likewise.
    left_out: sentences on what could not be read, each with its file.
    machine: what computed it, in words; "" where it is not known.
  """

  name: str
  path: epath.Path
  config: dict
  versions: dict
  commit: str | None
  start: str
  tasks: dict[str, dict[str, str]]
  rows: list[dict]
  sparsity: list[dict]
  magnitudes: list[dict]
  left_out: list[str]
  machine: str = ""


def read(paths: Sequence[epath.PathLike]) -> list[Run]:
  """Reads workdirs, and refuses a result that two of them hold.

  Args:
    paths: the workdirs.

  Returns:
    One run a path, in that order, its rows completed with `run` and `model`,
    and with the `structure` that was pruned where it is channels.
    A value that is not finite, and a round whose layers cannot be read, are
    left out, and said.

  Raises:
    ResultsError: a missing file, a broken line, a result given twice, networks
      that are pruned otherwise or started from another file.
  """
  paths = [epath.Path(path) for path in paths]
  names = [path.name for path in paths]
  runs = [
    _read_run(path, path.name if names.count(path.name) == 1 else str(path))
    for path in paths
  ]
  _check_alike(runs)
  seen = {}
  for row in (row for run in runs for row in run.rows):
    if row["stage"] not in workdir.FIELDS:
      continue
    cell = {field: row.get(field) for field in workdir.CELL}
    # On several sets learnt, a target's judgements are several.
    key = *cell.values(), row.get("learnt")
    if key in seen:
      what = ", ".join(f"{f} {v}" for f, v in cell.items() if v is not None)
      raise ResultsError(
        f"the same result twice, in run {seen[key]} and in run {row['run']}: "
        f"{what}; give each run a page of its own"
      )
    seen[key] = row["run"]
  return runs


def _check_alike(runs: Sequence[Run]) -> None:
  """Refuses runs of which the rounds do not mean the same."""
  for run in runs[1:]:
    for what, of in (
      ("starts from another network", lambda run: run.start),
      ("prunes by another method", lambda run: field(run, "prune.method")),
      ("prunes something else", lambda run: field(run, "prune.structure")),
      (
        "trains from other weights",
        lambda run: field(run, "prune.restart_from"),
      ),
      ("has other channels", lambda run: field(run, "model.kept")),
    ):
      if of(run) != of(runs[0]):
        raise ResultsError(
          f"{run.path} {what} than {runs[0].path}: give each run a page of its "
          "own"
        )


def field(run: Run, name: str) -> object:
  """Returns a field of a run; where it has none, what ran before there was.

  Args:
    run: the run.
    name: section and field, `prune.method`.
  """
  section, own = name.split(".")
  value = run.config.get(section, {}).get(own)
  return value or _BEFORE.get(own)


def _add_costs(rows: list[dict]) -> None:
  """Gives lines of judges what their networks cost, as their rounds say."""
  fields = operator.itemgetter("task", "seed", "round")
  costs = {
    fields(row): row[workdir.COST]
    for row in rows
    if row["stage"] == workdir.PRETEXT and workdir.COST in row
  }
  for row in rows:
    if row["stage"] == workdir.TRANSFER and fields(row) in costs:
      row[workdir.COST] = costs[fields(row)]


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


def _read_run(path: epath.Path, name: str) -> Run:
  file = path / workdir.RESULTS
  if not file.exists():
    there = (path / workdir.CONFIG).exists()
    also = "" if there else f", nor {path / workdir.CONFIG}"
    raise ResultsError(
      f"no results: {file} does not exist{also} (is {path} the workdir of a "
      "study, and has a first stage of it finished?)"
    )
  about = read_config(path / workdir.CONFIG)
  for field, form in forms.CONFIG.items():
    forms.check(about.get(field, {}), form, f"{path / workdir.CONFIG}: {field}")
  config = about.get("config", {})
  model = config.get("model", {}).get("name", "network")
  learnt = config.get("dataset", {}).get("name", "data")
  protocols = about.get("protocols", {})
  rows = []
  lines, left_out = read_lines_of_stages(path)
  for where, line in lines:
    if words := _not_finite(line):
      left_out.append(f"{where}: {words}, expected a finite number")
      continue
    check_line(line, where)
    rows.append({"run": name, "model": model, **line})
    rows[-1].setdefault("init", None)
    if config.get("prune", {}).get("structure") == "channels":
      rows[-1]["structure"] = "channels"
    if line["stage"] == workdir.TRANSFER:
      rows[-1]["learnt"] = learnt
      if line["protocol"] not in names_lib.PROTOCOLS:  # Of a user's package.
        label = protocols.get(line["protocol"], {}).get("label")
        rows[-1]["protocol_label"] = label or line["protocol"]
  _add_costs(rows)
  if not rows:
    raise ResultsError(
      "; ".join(left_out) or f"no results yet: {file} is empty"
    )
  sparsity, unread = rounds.read(path, workdir.SPARSITY)
  magnitudes, unknown = rounds.read(path, workdir.MAGNITUDES)
  left_out += unread + unknown
  for words in left_out:
    logging.warning("left out: %s", words)
  return Run(
    name,
    path,
    config,
    about.get("versions", {}),
    about.get("commit"),
    str(about.get("start", "")),
    read_tasks(path / workdir.CONFIG),
    rows,
    sparsity,
    magnitudes,
    left_out,
    str(about.get("machine", "")),
  )


def _not_finite(line: dict) -> str:
  """Returns the first field that is no finite number, and what it is; or ""."""
  for field, value in line.items():
    if isinstance(value, float) and not math.isfinite(value):
      return f"{field}: found {value}"
  return ""
