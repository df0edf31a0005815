"""Panels in the paper's layout: side by side, one legend, logarithmic axes."""

import dataclasses
import math
import textwrap
from collections.abc import Iterable, Sequence

from matplotlib import lines
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslprune_jax.report import figures
from sslprune_jax.report.curves import Curve, Estimate, Point
from sslprune_jax.report.results import INITS, task_name
from sslprune_jax.report.transfers import PRUNED, RANDOM
from sslprune_jax.report.verdicts import Verdict

_DENSE = {"color": "0.3", "linewidth": 0.8, "zorder": 1}
_UNTRAINED = {"color": "0.3", "linewidth": 1.0, "linestyle": ":", "zorder": 1}
_NATURAL = {
  "color": "#56B4E9",
  "linewidth": 1.2,
  "linestyle": (0, (6, 2)),
  "zorder": 1,
}
_CHANCE = {"linestyle": ":", "marker": ""}
_MOST_COLUMNS = 3
_TITLE_WIDTH = 34  # letters that a panel has room for
_LETTER, _KEY_LETTERS = (
  0.07,
  7,
)  # inches of a legend's letter; its key's letters


@dataclasses.dataclass(frozen=True)
class Panel:
  """Curves against remaining weights.

  Attributes:
    title: above it.
    ylabel: with its unit, percent.
    curves: `task` is the series, which has a colour; `init` the start, which
      has a line: of `INITS` and `PRUNED`, "chance", or None.
    dense: of the dense network, a thin line.
    untrained: of a network before any training, a dotted line.
    natural: the share of the weights that training did not drive to zero, an
      upright line.
  """

  title: str
  ylabel: str
  curves: tuple[Curve, ...]
  dense: Estimate | None = None
  untrained: Estimate | None = None
  natural: float | None = None


def retrained(
  title: str,
  curves: Iterable[Curve],
  dense: Curve | None = None,
  natural: float | None = None,
) -> Panel:
  """Returns a panel of accuracies after retraining.

  Args:
    title: above it.
    curves: those without points are left out.
    dense: whose dense network is the thin line.
    natural: see `Panel`.
  """
  at = dense.at(0) if dense else None
  return Panel(
    title,
    "Accuracy after retraining (%)",
    tuple(curve for curve in curves if curve.points),
    dense=at.estimate if at else None,
    natural=natural,
  )


@dataclasses.dataclass(frozen=True)
class Histogram:
  """Magnitudes of the weights of dense networks.

  Attributes:
    title: above it.
    shares: series -> share of the weights in each bin, the first of them all
      that is smaller.
    exponents: of 10, between the bins.
    thresholds: name -> magnitude, upright lines.
    ylabel: with its unit.
  """

  title: str
  shares: dict[str, list[float]]
  exponents: list[float]
  thresholds: dict[str, float]
  ylabel: str = "Share of the weights (%)"


# What a figure of the paper is drawn and judged by.
Drawn = tuple[list[Panel | Histogram], list[Verdict]]


def draw(panels: Sequence[Panel | Histogram]) -> Figure:
  """Draws panels.

  Args:
    panels: at least one; those with an equal `ylabel` share their y axis.

  Returns:
    The figure.
  """
  columns = min(_MOST_COLUMNS, len(panels))
  count = math.ceil(len(panels) / columns)
  columns = math.ceil(len(panels) / count)  # 4 are two by two
  size = (5, 3.6) if columns == 1 else (3.3 * columns, 2.9 * count + 0.5)
  figure = Figure(size, layout="constrained")
  grid = list(figure.subplots(count, columns, squeeze=False).flat)
  handles: dict[str, lines.Line2D] = {}
  first: dict[str, Axes] = {}
  for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
    axes.set_title(textwrap.fill(panel.title, _TITLE_WIDTH), fontsize=10)
    if isinstance(panel, Histogram):
      handles |= _draw_histogram(axes, panel)
      continue
    if panel.ylabel in first:  # Before it is drawn: both then fit all.
      axes.sharey(first[panel.ylabel])
    first.setdefault(panel.ylabel, axes)
    handles |= _draw_panel(axes, panel)
    if place % columns and panels[place - 1].ylabel == panel.ylabel:
      axes.set_ylabel("")
  for axes in grid[len(panels) :]:
    axes.remove()
  longest = _LETTER * (max(map(len, handles)) + _KEY_LETTERS)
  fitting = max(1, int(size[0] / longest))
  figures.legend(figure, list(handles.values()), min(columns + 1, fitting))
  return figure


def _draw_panel(axes: Axes, panel: Panel) -> dict[str, lines.Line2D]:
  """Draws curves; returns the legend's entries by their text."""
  points = [point.density for curve in panel.curves for point in curve.points]
  figures.weights_axis(axes, points, most=6)
  axes.set_ylabel(panel.ylabel)
  found = {}
  starts = figures.STARTS | figures.WHEN_PRUNED | {"chance": _CHANCE}
  names = INITS | PRUNED | {"chance": "chance"}
  for curve in panel.curves:
    figures.draw(axes, curve, **starts.get(curve.init, {}))
    if "color" not in starts.get(curve.init, {}):
      name = task_name(curve.task)
      found[name] = figures.key(name, curve.task, linestyle="")
  for curve in panel.curves:  # The starts behind the series.
    if curve.init:
      name = names[curve.init]
      found[name] = figures.key(name, None, **starts[curve.init])
  for value, style, name, line in (
    (panel.dense and panel.dense.mean, _DENSE, "dense network", axes.axhline),
    (
      panel.untrained and panel.untrained.mean,
      _UNTRAINED,
      "untrained network",
      axes.axhline,
    ),
    (panel.natural, _NATURAL, "natural sparsity", axes.axvline),
  ):
    if value:
      line(100 * value, **style)
      found[name] = lines.Line2D([], [], label=name, **style)
  return found


def _draw_histogram(axes: Axes, of: Histogram) -> dict[str, lines.Line2D]:
  """Draws the shares of magnitudes; returns the legend's entries."""
  found = {}
  width = of.exponents[1] - of.exponents[0]
  edges = [of.exponents[0] - width, *of.exponents]
  for series, shares in of.shares.items():
    color, _ = figures.style(series)
    axes.stairs(
      [100 * share for share in shares],
      [10.0**edge for edge in edges],
      color=color,
      linewidth=1.3,
    )
    name = task_name(series)
    found[name] = figures.key(name, series, linestyle="")
  for (name, value), dash in zip(
    of.thresholds.items(), ("-.", ":"), strict=False
  ):
    style = {"color": "0.5", "linewidth": 1.0, "linestyle": dash}
    axes.axvline(value, **style)
    found[name] = lines.Line2D([], [], label=name, **style)
  axes.set_xscale("log")
  axes.set_yscale("symlog", linthresh=0.1)
  axes.set_ylim(0, 110)
  axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
  axes.minorticks_off()
  axes.set_xlabel("Magnitude of a weight (left end: smaller)")
  axes.set_ylabel(of.ylabel)
  axes.spines[["top", "right"]].set_visible(False)
  return found


def rows(panels: Sequence[Panel | Histogram]) -> list[dict]:
  """Returns the numbers of panels as rows of a spreadsheet.

  Args:
    panels: of one figure.

  Returns:
    A row a point: `panel, series, start, round, remaining` (share of the
    prunable weights), `mean, standard_error, n` and the `values` of the seeds;
    of a histogram, `exponent` (the bin ends at 10 to it) and `share`.
  """
  found = []
  for panel in panels:
    if isinstance(panel, Histogram):
      for series, shares in panel.shares.items():
        for exponent, share in zip(panel.exponents, shares, strict=True):
          found.append(
            {
              "panel": panel.title,
              "series": series,
              "exponent": exponent,
              "share": share,
            }
          )
      continue
    every = ((curve, point) for curve in panel.curves for point in curve.points)
    for curve, point in every:
      estimate = point.estimate
      found.append(
        {
          "panel": panel.title,
          "series": curve.task or RANDOM,
          "start": curve.init or "",
          "round": point.round,
          "remaining": point.density,
          "mean": estimate.mean,
          "standard_error": estimate.error,
          "n": estimate.n,
          "values": " ".join(
            f"{seed}:{value:.6g}" for seed, value in point.values.items()
          ),
        }
      )
  return found


def remaining(points: Sequence[Point]) -> str:
  """Writes the remaining weights of the first of some points."""
  return f"{figures.percent(points[0].density)} %" if points else "?"
