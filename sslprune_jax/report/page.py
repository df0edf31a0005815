"""Sections -> one HTML page that needs nothing beside it."""

import base64
import json
import pathlib
import re
from collections.abc import Sequence

import jinja2
import markupsafe

from sslprune_jax import workdir
from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import (
  results,
  size_tables,
  sizes,
  tables,
  times,
  words,
)
from sslprune_jax.report.names import METRICS, Names, rank_task
from sslprune_jax.report.results import Run
from sslprune_jax.report.sections import (
  BroughtSection,
  Section,
  TimeSection,
  TransferSection,
)


def render(
  runs: Sequence[Run],
  brought: Sequence[BroughtSection],
  parts: Sequence[Section],
  moved: Sequence[TransferSection],
  timed: Sequence[TimeSection],
  names: Names,
) -> str:
  """Fills the template.

  Args:
    runs: runs of the page.
    brought: networks that they started from, and what was made of them.
    parts: their sections.
    moved: their transfers.
    timed: times of their networks.
    names: labels of their tasks.

  Returns:
    The page.
  """
  of_times = [words for part in timed for words in part.times.left_out]
  return template("page.html.jinja").render(
    runs=runs,
    left_out=[words for run in runs for words in run.left_out] + of_times,
    brought=[_brought_view(part, names) for part in brought],
    parts=[_view(part, names) for part in parts],
    transfers=[_transfer_view(part, names) for part in moved],
    timed=[_time_view(part, names) for part in timed if part.times.timings],
    differing=differing_fields(runs),
    everything=tables.everything([row for run in runs for row in run.rows]),
  )


def template(name: str) -> jinja2.Template:
  """Returns a template of this package by the name of its file."""
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
    autoescape=True,
    finalize=_escape_markdown if name.endswith(".md.jinja") else None,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  environment.filters["percent"] = words.write_percent
  environment.filters["range"] = words.write_range
  environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
  environment.filters["pretty"] = lambda value: json.dumps(value, indent=2)
  return environment.get_template(name)


def _escape_markdown(value: object) -> object:
  """Escapes what Markdown reads as more than text; HTML is escaped besides.

  Numbers and what a macro gives are left as they are.
  """
  if not isinstance(value, str) or isinstance(value, markupsafe.Markup):
    return value
  value = re.sub(r"[\x00-\x1f]+", " ", value)
  return re.sub(r"([\\`*\[\]|])", r"\\\1", value)


def _brought_view(part: BroughtSection, names: Names) -> dict:
  """Returns what the template reads of a network that was brought."""
  config = part.run.config
  return {
    "file": config["start"],
    "task": names.label(part.task),
    "one_shot": results.field(part.run, "prune.method") == "one-shot",
    "seeds": len({row["seed"] for row in part.run.rows}),
    "name": part.name,
    "picture": part.picture,
    "place": part.run.path / f"seed_S/{part.task}/round_NN" / workdir.TRAINED,
    "table": size_tables.tabulate(part.sizes),
    "chosen": size_tables.tabulate_chosen(sizes.choose(part.sizes)),
  }


def _view(part: Section, names: Names) -> dict:
  """Returns what the template reads of a section."""
  setting = part.setting
  index = tables.sparsest(part.retrained)
  at_index = part.retrained, index, names
  rows = setting.rows
  dense = curves_lib.find_dense(part.retrained)
  tasks = sorted({row["task"] for row in rows}, key=rank_task)
  apart = {row["task"] for row in rows if row["split"] != setting.split}
  apart = sorted(apart, key=rank_task)
  pruned = sorted({e["task"] for e in setting.sparsity}, key=rank_task)
  points = [point for curve in part.retrained for point in curve.points]
  return {
    "title": f"{setting.model} on {setting.dataset}",
    "dataset": setting.dataset,
    "split": setting.split,
    "tasks": [names.label(task) for task in tasks],
    "problems": [(names.label(task), names.problem(task)) for task in tasks],
    "has_labels": "labels" in tasks,
    "seeds": sorted({row["seed"] for row in rows}),
    "last": min(rows, key=lambda row: row["density"]),
    "pictures": part.pictures,
    "compared": next((p for p in points if p.round == index), None),
    "at_round": tables.at_round(*at_index) if index else None,
    "differences": tables.differences(*at_index) if index else None,
    "retrained": tables.summary(part.retrained, names),
    "pretext": tables.summary(part.pretext, names),
    "trainings": tables.trainings(rows, names),
    "layers": [
      (names.label(task), tables.layers(setting.sparsity, task))
      for task in pruned
    ],
    "excluded": tables.list_excluded(setting.sparsity) if pruned else None,
    "emptied": tables.list_emptied(setting.sparsity, names),
    "images": _numbers(rows, "training_images"),
    "updates": _numbers(rows, "updates"),
    "scored_apart": [names.label(task) for task in apart],
    "k": sorted({row["rewind_update"] for row in rows}),
    "axis": curves_lib.axis_of((*part.retrained, *part.pretext)),
    "dense": names.label(dense.task) if dense else None,
    "n": {
      "retrain": sorted({p.estimate.n for p in points}),
      "pretext": sorted(
        {p.estimate.n for curve in part.pretext for p in curve.points}
      ),
    },
  }


def _transfer_view(part: TransferSection, names: Names) -> dict:
  """Returns what the template reads of a transfer."""
  transfer, rows = part.transfer, part.transfer.rows
  points = [point for curve in transfer.curves for point in curve.points]

  def values_of(field: str) -> list[str]:
    return list(dict.fromkeys(str(row[field]) for row in rows if field in row))

  return {
    "title": transfer.title,
    "transfer": transfer,
    "metric": METRICS[transfer.metric],
    "name": part.name,
    "picture": part.picture,
    "axis": curves_lib.axis_of(transfer.curves),
    "tasks": list(dict.fromkeys(curve.task for curve in transfer.curves)),
    "in_transfer": any(curve.init == "prune" for curve in transfer.curves),
    "table": tables.summary(transfer.curves, names),
    "untrained": words.write_estimate(transfer.untrained),
    "n": sorted({point.estimate.n for point in points}),
    "images": sorted({row["training_images"] for row in rows}),
    "tested": sorted({row["n"] for row in rows}),
    "crop": values_of("crop"),
    "learning_rate": values_of("learning_rate"),
    "duration": values_of("duration"),
    "neighbours": values_of("neighbours"),
    "augment": values_of("augment"),
    # Of a user's protocol it is not known here.
    "reads_labels": transfer.protocol != "fidelity",
  }


def _time_view(part: TimeSection, names: Names) -> dict:
  """Returns what the template reads of the times of a run."""
  return {
    "run": part.run.name,
    "name": part.name,
    "picture": part.picture,
    "measure": part.times.measure,
    "table": times.tabulate(part.times, names),
    "devices": sorted({each.way[-1] for each in part.times.timings}),
  }


def _numbers(rows: Sequence[dict], field: str) -> dict[str, list[int]]:
  """Returns stage -> the values of a field, in order."""
  stages = {row["stage"] for row in rows}
  return {
    stage: sorted({row[field] for row in rows if row["stage"] == stage})
    for stage in stages
  }


def differing_fields(runs: Sequence[Run]) -> tables.Table | None:
  """Tabulates the configuration fields in which runs differ.

  Args:
    runs: runs, at least one.

  Returns:
    A row a field, a column a run; None if they differ in none.
  """
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
