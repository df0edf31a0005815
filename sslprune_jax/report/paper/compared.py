"""Variants of no figure of the paper -> one table of what they reach."""

from collections.abc import Iterator

from sslprune_jax import workdir
from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import transfers, words
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.names import METRICS, label_start, rank_task
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.tables import Table

SHOWN = (
  "What each variant reaches, in percent: whole, and at the last round that "
  "there is of it."
)


def tabulate(run: FigureRun) -> Table | None:
  """Tabulates what variants reach, a row a round, a column a score.

  Args:
    run: run of any variants.

  Returns:
    Their dense network and their last round; None where nothing is scored.
  """
  found: dict[tuple[str, str, int], dict[str, str]] = {}
  columns: dict[str, None] = {}
  for variant, task, column, curve in _curves(run):
    columns.setdefault(column)
    for point in curve.points:
      row = found.setdefault((variant, task, point.round), {})
      row[column] = words.write_estimate(point.estimate)
      # Those of the mask, whose curve is the first: controls have others.
      row.setdefault("weights", words.write_percent(point.density))
      if point.multiply_adds is not None:
        share = words.write_percent(point.multiply_adds)
        row.setdefault("multiply-adds", share)
  last = {key[:2]: key[2] for key in sorted(found)}
  ends = {key: of for key, of in found.items() if key[2] in (0, last[key[:2]])}
  shares = [
    name
    for name in ("weights", "multiply-adds")
    if any(name in row for row in ends.values())
  ]
  several = len({task for _, task, _ in ends}) > 1
  header = ["variant", *(["task"] if several else []), *shares, *columns]
  rows = []
  for (variant, task, _), of in ends.items():
    names = [run.names.label(name) for name in (variant, task)[: 1 + several]]
    rows.append([*names, *(of.get(name, "") for name in (*shares, *columns))])
  return Table(header, rows) if rows else None


def _curves(run: FigureRun) -> Iterator[tuple[str, str, str, Curve]]:
  """Yields variant, task, name of the score and its curve."""
  for variant in run.variants:
    stages = {
      stage: run.rows(variant, stage)
      for stage in (workdir.PRETEXT, workdir.RETRAIN, workdir.TRANSFER)
    }
    tasks = {row["task"] for row in stages[workdir.PRETEXT]}
    for task in sorted(tasks, key=rank_task):
      own = {
        stage: [row for row in rows if row["task"] == task]
        for stage, rows in stages.items()
      }
      for curve in curves_lib.group(own[workdir.PRETEXT], workdir.PRETEXT):
        yield variant, task, "the task itself", curve
      for curve in curves_lib.group(own[workdir.RETRAIN], workdir.RETRAIN):
        yield variant, task, f"retrained, {label_start(curve.init)}", curve
      for transfer in transfers.group(own[workdir.TRANSFER]):
        for curve in transfer.curves:
          parts = [transfer.title]
          if transfer.metric != "accuracy":
            parts.append(METRICS[transfer.metric])
          if curve.init:
            parts.append(label_start(curve.init))
          yield variant, task, ", ".join(parts), curve
