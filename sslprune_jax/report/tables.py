"""Curves and rows -> tables of text, for the page and for a spreadsheet."""

import collections
import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import words
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.names import Names, label_start


@dataclasses.dataclass(frozen=True)
class Table:
  """Column names, and rows of as many texts."""

  header: list[str]
  rows: list[list[str]]


def label_curve(curve: Curve, names: Names) -> str:
  """Names a curve by its task and start: "RotNet, random re-init"."""
  parts = [names.label(curve.task)] if curve.task else []
  if curve.init:
    parts.append(label_start(curve.init))
  return ", ".join(parts)


def sparsest(curves: Sequence[Curve]) -> int | None:
  """Finds the round to compare at.

  Args:
    curves: curves of stage "retrain".

  Returns:
    The sparsest round retrained as a winning ticket for the most tasks, so
    that an unfinished study compares like with like; None if all are dense.
  """
  tickets = [curve for curve in curves if curve.init == "rewind"]
  counts = collections.Counter(p.round for c in tickets for p in c.points)
  del counts[0]
  return max(counts, key=lambda i: (counts[i], i), default=None)


def at_round(curves: Sequence[Curve], index: int, names: Names) -> Table:
  """Lists the curves at one round, dense first.

  Args:
    curves: curves of stage "retrain".
    index: number of the round.
    names: labels of the tasks.
  """
  rows = []
  for curve in curves:
    dense = curve.at(0)
    if dense and curve.init == "rewind":
      rows.append((f"{names.label(curve.task)}, dense", dense.estimate))
  for curve in curves:
    point = curve.at(index)
    if point:
      rows.append((label_curve(curve, names), point.estimate))
  return Table(
    ["start", "accuracy (%)", "n"],
    [[name, words.write_estimate(e), str(e.n)] for name, e in rows],
  )


def differences(curves: Sequence[Curve], index: int, names: Names) -> Table:
  """Compares the curves at one round, paired by seed.

  Args:
    curves: curves of stage "retrain".
    index: number of the round.
    names: labels of the tasks.
  """
  by_key = {(curve.task, curve.init): curve for curve in curves}
  tasks = list(dict.fromkeys(c.task for c in curves if c.task))
  others = [task for task in tasks if task != "labels"]
  pairs = [
    *((("labels", "rewind"), (task, "rewind")) for task in others),
    *((("labels", "reinit"), (task, "reinit")) for task in others),
    *(((task, "rewind"), (task, "reinit")) for task in tasks),
    *(((task, "rewind"), (None, "random")) for task in tasks),
  ]
  rows = []
  for left, right in pairs:
    if left not in by_key or right not in by_key:
      continue
    a, b = by_key[left].at(index), by_key[right].at(index)
    estimate = curves_lib.paired_difference(a, b) if a and b else None
    if estimate:
      pair = [label_curve(by_key[key], names) for key in (left, right)]
      rows.append([*pair, words.write_estimate(estimate, "+"), str(estimate.n)])
  return Table(["A", "B", "A − B (points)", "n"], rows)


def summary(curves: Sequence[Curve], names: Names) -> Table:
  """Tabulates every curve: a row a round, a column a task and start.

  Args:
    curves: curves of one stage.
    names: labels of the tasks.

  Returns:
    "mean ± standard error", and n in brackets where a cell has fewer seeds
    than the others.
  """
  points = collections.defaultdict(list)
  for curve in curves:
    for point in curve.points:
      points[point.round].append(point)
  most = max((len(p.values) for c in curves for p in c.points), default=0)
  rows = []
  for index, own in sorted(points.items()):
    row = [
      str(index),
      _write_shares(point.density for point in own),
      _write_shares(point.density_of_all for point in own),
    ]
    for curve in curves:
      cell = curve.at(index)
      text = words.write_estimate(cell.estimate) if cell else ""
      fewer = cell is not None and len(cell.values) < most
      row.append(f"{text} ({len(cell.values)})" if fewer else text)
    rows.append(row)
  columns = [label_curve(curve, names) for curve in curves]
  return Table(["round", "% of prunable", "% of all", *columns], rows)


def _write_shares(shares: Iterable[float]) -> str:
  """Writes the share that remains; of channels, masks of a round differ."""
  written = [words.write_percent(share) for share in sorted(shares)]
  return " to ".join(dict.fromkeys((written[0], written[-1])))


def trainings(rows: Iterable[dict], names: Names) -> Table:
  """Says what was trained: seeds, rounds, updates, images, k of W_k.

  Args:
    rows: results of stages "pretext" and "retrain".
    names: labels of the tasks.
  """
  groups = collections.defaultdict(list)
  for row in rows:
    groups[row["task"], row["stage"], row["split"]].append(row)
  lines = []
  for (task, stage, split), own in groups.items():
    what = "the task itself" if stage == "pretext" else "its masks, on labels"
    rounds = {row["round"] for row in own}
    fields = ["updates", "training_images", "n", "rewind_update"]
    columns = [words.write_range(row[field] for row in own) for field in fields]
    columns[2] += f" ({split})"
    seeds = str(len({row["seed"] for row in own}))
    span = f"{len(rounds)} ({words.write_range(rounds)})"
    lines.append([names.label(task), what, seeds, span, *columns])
  header = ["masks of", "training on", "seeds", "rounds", "updates"]
  return Table([*header, "images", "evaluated on", "k"], lines)


def layers(sparsity: Iterable[dict], task: str) -> Table:
  """Tabulates the layers of a task at its last round, ranges over seeds.

  Multiply-adds are counted: a weight, times the places of an image that use it.

  Args:
    sparsity: contents of sparsity.json of tasks, seeds and rounds.
    task: name of a task that some of them are of.
  """
  own = [entry for entry in sparsity if entry["task"] == task]
  last = max(entry["round"] for entry in own)
  groups = collections.defaultdict(list)
  for entry in own:
    if entry["round"] == last:
      for layer in entry["layers"]:
        groups[layer["path"]].append(layer)
  rows, all_dense, all_left = [], 0, 0.0
  for path, same in groups.items():
    total = same[0]["total"]
    uses = same[0].get("uses", 0)  # An earlier version did not count them.
    kept = sum(layer["kept"] for layer in same) / len(same) / total
    dense, left = uses * total, uses * total * kept
    all_dense, all_left = all_dense + dense, all_left + left
    shape = " × ".join(map(str, same[0]["shape"]))
    dead = words.write_range(layer["dead_outputs"] for layer in same)
    dead = f"{dead} of {same[0]['shape'][-1]:,}"
    counts = words.write_range(layer["kept"] for layer in same)
    cells = [path, shape, f"{total:,}", counts, words.write_percent(kept)]
    rows.append([*cells, f"{left:,.0f} of {dense:,}" if uses else "", dead])
  if all_dense:
    share = f"{words.write_percent(all_left / all_dense)} %"
    rows.append(["all", "", "", "", "", f"{share} of {all_dense:,}", ""])
  header = ["layer", "shape", "weights", "kept", "kept (%)"]
  return Table([*header, "multiply-adds left", "dead outputs"], rows)


def list_excluded(sparsity: Sequence[dict]) -> Table:
  """Lists the parameters that are never pruned, and why."""
  rows = [
    [entry["path"], entry["reason"], f"{entry['size']:,}"]
    for entry in sparsity[0]["excluded"]
  ]
  return Table(["parameter", "why it is never pruned", "size"], rows)


def list_emptied(sparsity: Iterable[dict], names: Names) -> list[str]:
  """Names the layers that lost all their weights, and when.

  Args:
    sparsity: contents of sparsity.json of tasks, seeds and rounds.
    names: labels of the tasks.
  """
  first = {}
  for entry in sorted(sparsity, key=lambda entry: entry["round"]):
    for layer in entry["layers"]:
      if layer["kept"] == 0:
        key = (entry["task"], entry["seed"], layer["path"])
        first.setdefault(key, entry["round"])
  return [
    f"{path}: empty from round {index} ({names.label(task)}, seed {seed})"
    for (task, seed, path), index in first.items()
  ]


def everything(rows: Sequence[dict]) -> Table:
  """Tabulates every row as it was written, with all the fields there are."""
  header = list(dict.fromkeys(field for row in rows for field in row))
  return Table(
    header,
    [[_plain(row.get(field)) for field in header] for row in rows],
  )


def to_csv(rows: Sequence[dict]) -> str:
  """Writes rows as comma-separated values, with all their digits."""
  buffer = io.StringIO()
  header = everything(rows).header
  writer = csv.DictWriter(buffer, header, lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return buffer.getvalue()


def _plain(value) -> str:
  if isinstance(value, float):
    return f"{value:.5g}"
  if isinstance(value, dict):  # SVM's costs: of twenty classes, maybe
    return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
  return "" if value is None else str(value)
