"""Runs -> one HTML page that needs nothing beside it."""

import base64
import dataclasses
import json
import pathlib
from collections.abc import Sequence

import jinja2

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import figures, tables, transfers
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.results import (
  PROBLEMS,
  TASKS,
  TRANSFER,
  Run,
  Setting,
  rank,
  settings,
  task_name,
)


@dataclasses.dataclass(frozen=True)
class Section:
  """What the page says of one setting; `pictures` is name -> PNG."""

  setting: Setting
  retrained: list[Curve]
  pretext: list[Curve]
  pictures: dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Judged:
  """What the page says of one transfer; `picture` is a PNG, or nothing yet."""

  transfer: transfers.Transfer
  name: str
  picture: bytes | None


def judged(runs: Sequence[Run]) -> list[Judged]:
  """Draws the transfers of all runs; picture names are unique."""
  rows = [row for run in runs for row in run.rows if row["stage"] == TRANSFER]
  found = transfers.group(rows)
  several = len({(t.model, t.learnt, t.split) for t in found}) > 1
  parts = []
  for transfer in found:
    name = transfer.name
    if several:
      own = (name, transfer.learnt, transfer.split, transfer.model)
      name = "_".join(own).replace("/", "-")
    drawn = figures.transferred(transfer) if transfer.curves else None
    parts.append(Judged(transfer, name, figures.png(drawn) if drawn else None))
  return parts


def sections(runs: Sequence[Run]) -> list[Section]:
  """Groups and draws, and leaves out the figures that have no results yet.

  Args:
    runs: at least one.

  Returns:
    One section a setting; picture names are unique over all of them.
  """
  parts = []
  joined = settings(runs)
  for setting in joined:
    retrained = curves_lib.group(setting.rows, "retrain")
    pretext = curves_lib.group(setting.rows, "pretext")
    densities = curves_lib.layer_densities(setting.sparsity)
    drawn = {}
    if retrained:
      drawn["retrained"] = figures.retrained(retrained)
    if pretext:
      drawn["pretext"] = figures.pretext(pretext)
    if densities:
      drawn["layers"] = figures.layers(densities)
    names = [setting.dataset, setting.split, setting.model]
    tail = "" if len(joined) == 1 else "_".join(["", *names]).replace("/", "-")
    pictures = {name + tail: figures.png(f) for name, f in drawn.items()}
    parts.append(Section(setting, retrained, pretext, pictures))
  return parts


def render(
  runs: Sequence[Run], parts: Sequence[Section], moved: Sequence[Judged]
) -> str:
  """Fills the template.

  Args:
    runs: all that were read.
    parts: their sections.
    moved: their transfers.

  Returns:
    The page.
  """
  return template("page.html.jinja").render(
    runs=runs,
    parts=[_view(part) for part in parts],
    transfers=[_transfer_view(part) for part in moved],
    differing=differing(runs),
    everything=tables.everything([row for run in runs for row in run.rows]),
  )


def template(name: str) -> jinja2.Template:
  """Returns a template of this folder."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
    autoescape=name.endswith(".html.jinja"),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters["percent"] = figures.percent
  environment.filters["task_name"] = task_name
  environment.filters["problem"] = lambda task: PROBLEMS.get(task, task)
  environment.filters["range"] = tables.write_range
  environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
  environment.filters["pretty"] = lambda value: json.dumps(value, indent=2)
  return environment.get_template(name)


def _view(part: Section) -> dict:
  """Returns what the template reads of a section."""
  setting = part.setting
  index = tables.sparsest(part.retrained)
  rows = setting.rows
  dense = [c.task for c in part.retrained if c.init == "rewind" and c.at(0)]
  tasks = sorted({row["task"] for row in rows}, key=_task_rank)
  pruned = sorted({e["task"] for e in setting.sparsity}, key=_task_rank)
  points = [point for curve in part.retrained for point in curve.points]
  return {
    "title": f"{setting.model} on {setting.dataset}",
    "dataset": setting.dataset,
    "split": setting.split,
    "tasks": tasks,
    "seeds": sorted({row["seed"] for row in rows}),
    "last": min(rows, key=lambda row: row["density"]),
    "pictures": part.pictures,
    "compared": next((p for p in points if p.round == index), None),
    "at_round": tables.at_round(part.retrained, index) if index else None,
    "differences": tables.differences(part.retrained, index) if index else None,
    "retrained": tables.summary(part.retrained),
    "pretext": tables.summary(part.pretext),
    "trainings": tables.trainings(rows),
    "layers": {task: tables.layers(setting.sparsity, task) for task in pruned},
    "excluded": tables.excluded(setting.sparsity) if pruned else None,
    "emptied": tables.emptied(setting.sparsity),
    "images": _numbers(rows, "training_images"),
    "updates": _numbers(rows, "updates"),
    "scored_apart": sorted(
      {row["task"] for row in rows if row["split"] != setting.split},
      key=_task_rank,
    ),
    "k": sorted({row["rewind_update"] for row in rows}),
    "dense": dense[0] if dense else None,
    "n": {
      "retrain": sorted({p.estimate.n for p in points}),
      "pretext": sorted(
        {p.estimate.n for curve in part.pretext for p in curve.points}
      ),
    },
  }


def _transfer_view(part: Judged) -> dict:
  """Returns what the template reads of a transfer."""
  transfer, rows = part.transfer, part.transfer.rows
  points = [point for curve in transfer.curves for point in curve.points]

  def found(field: str) -> list[str]:
    return list(dict.fromkeys(str(row[field]) for row in rows if field in row))

  return {
    "title": transfer.title,
    "transfer": transfer,
    "metric": transfers.METRICS[transfer.metric],
    "name": part.name,
    "picture": part.picture,
    "tasks": list(dict.fromkeys(curve.task for curve in transfer.curves)),
    "in_transfer": any(curve.init == "prune" for curve in transfer.curves),
    "table": tables.summary(transfer.curves),
    "random": tables.write_estimate(transfer.random),
    "n": sorted({point.estimate.n for point in points}),
    "images": sorted({row["training_images"] for row in rows}),
    "tested": sorted({row["n"] for row in rows}),
    "crop": found("crop"),
    "learning_rate": found("learning_rate"),
    "duration": found("duration"),
    "neighbours": found("neighbours"),
    "augment": found("augment"),
  }


def _task_rank(task: str) -> tuple[int, str]:
  return rank(TASKS, task)


def _numbers(rows: Sequence[dict], field: str) -> dict[str, list[int]]:
  """Returns stage -> the values of a field, in order."""
  stages = {row["stage"] for row in rows}
  return {
    stage: sorted({row[field] for row in rows if row["stage"] == stage})
    for stage in stages
  }


def differing(runs: Sequence[Run]) -> tables.Table | None:
  """Lists the configuration fields in which runs differ, None if none do."""
  flat = [dict(_flatten(run.config)) for run in runs]
  fields = sorted(set().union(*flat))
  rows = [
    [field, *(json.dumps(config.get(field)) for config in flat)]
    for field in fields
    if any(config.get(field) != flat[0].get(field) for config in flat)
  ]
  header = ["field", *(run.name for run in runs)]
  return tables.Table(header, rows) if rows else None


def _flatten(config: dict, prefix: str = ""):
  for key, value in config.items():
    if isinstance(value, dict):
      yield from _flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value
