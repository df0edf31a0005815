"""Size against quality, as the page opens with it."""

from collections.abc import Sequence

from sslprune_jax.report import words
from sslprune_jax.report.curves import estimate
from sslprune_jax.report.names import METRICS
from sslprune_jax.report.sizes import Chosen, Measure, Size
from sslprune_jax.report.tables import Table


def tabulate(sizes: Sequence[Size]) -> Table:
  """Lists networks: what they take, and their quality on the test images.

  Args:
    sizes: networks of a task, dense first.
  """
  measures = list(dict.fromkeys(m for size in sizes for m in size.quality))
  header = ["round", "weights (%)", "weights", "file (MB)"]
  header.append("multiply-adds (%)")
  header += [label(measure) for measure in measures]
  rows = []
  for size in sizes:
    row = [
      f"{size.round:02d}",
      words.write_percent(size.density),
      f"{size.kept:,.0f}",
      _megabytes(size),
      ""
      if size.multiply_adds is None
      else words.write_percent(size.multiply_adds),
    ]
    for measure in measures:
      values = size.quality.get(measure, {}).values()
      row.append(words.write_estimate(estimate(values)) if values else "")
    rows.append(row)
  return Table(header, rows)


def label(measure: Measure) -> str:
  """Names a measure: "linear on digits, stage3: accuracy (%)"."""
  protocol, target, layer, metric = measure
  layer = "" if layer == "features" else f", {layer}"
  return f"{protocol} on {target}{layer}: {METRICS[metric].lower()} (%)"


def tabulate_chosen(found: Sequence[Chosen]) -> Table:
  """Lists the networks that were chosen, by their quality on the test images.

  Args:
    found: networks from `choose`.
  """
  header = ["chosen by", "within (points)"]
  header += ["round", "weights (%)", "file (MB)"]
  rows = [
    [
      label(each.measure),
      f"{100 * each.within:g}",
      f"{each.size.round:02d}",
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
