"""Size against quality, as the page opens with it."""

import statistics
from collections.abc import Iterable, Sequence

from sslprune_jax.report import sizes as sizes_lib
from sslprune_jax.report import words
from sslprune_jax.report.names import METRICS, Names
from sslprune_jax.report.results import Run
from sslprune_jax.report.sizes import Chosen, Measure, Size
from sslprune_jax.report.tables import Table


def tabulate(sizes: Sequence[Size]) -> Table:
  """Lists networks: what they take, and their quality on the test images.

  Args:
    sizes: networks of a task, dense first.
  """
  measures = list(dict.fromkeys(m for size in sizes for m in size.quality))
  header = ["weights (%)", "weights", "file (MB)", "multiply-adds (%)"]
  header += [label(measure) for measure in measures]
  rows = []
  for size in sizes:
    row = [
      words.write_percent(size.density),
      f"{size.kept:,.0f}",
      _megabytes(size),
      ""
      if size.multiply_adds is None
      else words.write_percent(size.multiply_adds),
    ]
    for measure in measures:
      values = size.quality.get(measure, {}).values()
      row.append(_write(values) if values else "")
    rows.append(row)
  return Table(header, rows)


def label(measure: Measure) -> str:
  """Names a measure: "knn: accuracy (%)", "linear, stage3: accuracy (%)"."""
  protocol, layer, metric = measure
  layer = "" if layer == "features" else f", {layer}"
  return f"{protocol}{layer}: {METRICS[metric].lower()} (%)"


def _write(values: Iterable[float]) -> str:
  values = [100 * value for value in values]
  text = f"{statistics.fmean(values):.1f}"
  return f"{text} ± {statistics.stdev(values):.1f}" if len(values) > 1 else text


def tabulate_chosen(found: Sequence[Chosen]) -> Table:
  """Lists the networks that were chosen, by their quality on the test images.

  Args:
    found: networks from `choose`.
  """
  header = ["chosen by", "within (points)", "weights (%)", "file (MB)"]
  rows = [
    [
      label(each.measure),
      f"{100 * each.within:g}",
      words.write_percent(each.size.density),
      _megabytes(each.size),
      f"{100 * each.value:.1f}",
      f"{100 * each.difference:+z.1f}".replace("-", "−")
      + ("" if each.error is None else f" ± {100 * each.error:.1f}"),
    ]
    for each in found
  ]
  return Table([*header, "on test images", "less the dense network's"], rows)


def _megabytes(size: Size) -> str:
  return "" if size.bytes is None else f"{size.bytes / 1e6:.2f}"


def describe(runs: Sequence[Run], names: Names) -> list[dict]:
  """Returns what the page opens with: a part for every run and task.

  Args:
    runs: runs of the page.
    names: labels of their tasks.
  """
  return [
    {
      "file": run.config["start"],
      "task": names.label(task),
      "one_shot": run.config["prune"]["method"] == "one-shot",
      "seeds": len({row["seed"] for row in run.rows}),
      "table": tabulate(sizes),
      "chosen": tabulate_chosen(sizes_lib.choose(sizes)),
    }
    for run in runs
    for task, sizes in sizes_lib.collect(run).items()
  ]
