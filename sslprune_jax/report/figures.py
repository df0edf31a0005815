"""Panels -> matplotlib figures: pure functions, no pyplot, no global state.

matplotlib takes a second to load: `report` imports this module when it draws.
"""

import io
import math
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import lines
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslprune_jax.report.curves import Curve, axis_of
from sslprune_jax.report.names import CHANCE, Names, label_start, rank
from sslprune_jax.report.panels import Histogram, Panel
from sslprune_jax.report.words import write_percent

_STARTS = {
  "rewind": {"linestyle": "-"},
  "reinit": {"linestyle": "--", "markerfacecolor": "white"},
  "random": {"linestyle": "-", "color": "0.55", "marker": "X"},
  "adjusted": {"linestyle": ":", "marker": "P"},
  "narrow": {"linestyle": "--", "marker": "d"},
  "finetune": {"linestyle": "-"},
  "prune": {"linestyle": "--", "markerfacecolor": "white"},
  CHANCE: {"linestyle": ":", "marker": ""},
}
_LEVELS = {  # field of a panel -> its name and line; "natural" is upright
  "dense": ("dense network", "0.3", 0.8, "-"),
  "untrained": ("untrained network", "0.3", 1.0, ":"),
  "natural": ("natural sparsity", "#56B4E9", 1.2, (0, (6, 2))),
  "chance": ("chance, 4 angles", "0.5", 0.8, ":"),
}
_THRESHOLD_LINES = ("-.", ":")
_MOST_COLUMNS = 3
_TITLE_WIDTH = 34  # letters that a panel has room for, and its height
_LETTER = 0.07  # inches of a legend's letter
_KEY_LETTERS = 7  # that a key takes the room of


def draw(panels: Sequence[Panel | Histogram], names: Names) -> Figure:
  """Draws panels side by side, under one legend.

  Args:
    panels: panels, at least one; equal `ylabel`s share their y axis.
    names: labels and colours of the series.

  Returns:
    The figure.
  """
  columns = min(_MOST_COLUMNS, len(panels))
  count = math.ceil(len(panels) / columns)
  columns = math.ceil(len(panels) / count)  # 4 are two by two
  # 10 point text at 5 inches is 6.6 points in a column of 3.3 inches.
  size = (5, 3.6) if columns == 1 else (3.3 * columns, 2.9 * count + 0.5)
  figure = Figure(size, layout="constrained")
  grid = list(figure.subplots(count, columns, squeeze=False).flat)
  first: dict[str, Axes] = {}
  for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
    axes.set_title(textwrap.fill(panel.title, _TITLE_WIDTH), fontsize=10)
    if isinstance(panel, Histogram):
      _draw_histogram(axes, panel, names)
      continue
    if panel.ylabel in first:  # Before it is drawn: both then fit all.
      axes.sharey(first[panel.ylabel])
    first.setdefault(panel.ylabel, axes)
    _draw_panel(axes, panel, names, most_ticks=9 if columns == 1 else 6)
    if place % columns and panels[place - 1].ylabel == panel.ylabel:
      axes.set_ylabel("")
  for axes in grid[len(panels) :]:
    axes.remove()
  keys = _keys(panels, names)
  figure.legend(
    handles=keys,
    loc="outside upper center",
    ncols=_legend_columns(keys, size[0], max(3, columns + 1)),
    frameon=False,
    fontsize=9,
  )
  return figure


def png(figure: Figure) -> bytes:
  """Renders a figure at 200 dots per inch."""
  return _save(figure, format="png", dpi=200)


def pdf(figure: Figure) -> bytes:
  """Renders a figure for print; the same figure gives the same bytes."""
  return _save(figure, format="pdf", metadata={"CreationDate": None})


def _save(figure: Figure, **how) -> bytes:
  buffer = io.BytesIO()
  figure.savefig(buffer, **how)
  return buffer.getvalue()


def density_axis(
  axes: Axes,
  densities: Iterable[float],
  most: int,
  of: str = "prunable weights",
) -> None:
  """Makes a logarithmic axis of what remains, dense on the left.

  Args:
    axes: axes whose x axis it becomes, in percent.
    densities: shares that remain at the points, in (0, 1]; at least one.
    most: number of ticks that there is room for.
    of: what they are shares of; see `curves.axis_of`.
  """
  densities = sorted(set(densities))
  ticks = [densities[0], densities[-1]]  # and those between that have room
  gap = math.log(ticks[1] / ticks[0]) / most
  for density in densities[1:-1]:
    if all(abs(math.log(density / tick)) >= gap for tick in ticks):
      ticks.append(density)
  axes.set_xscale("log")
  axes.set_xticks([100 * t for t in ticks], [write_percent(t) for t in ticks])
  axes.minorticks_off()
  margin = 1.05 * math.exp(gap / 4)
  axes.set_xlim(100 * densities[-1] * margin, 100 * densities[0] / margin)
  axes.set_xlabel(f"Remaining {of} (%)")
  axes.tick_params(labelsize=9)
  axes.spines[["top", "right"]].set_visible(False)
  axes.grid(axis="y", color="0.92", linewidth=0.6)
  axes.set_axisbelow(True)


def _draw_panel(
  axes: Axes, panel: Panel, names: Names, most_ticks: int
) -> None:
  points = [point.remaining for curve in panel.curves for point in curve.points]
  density_axis(axes, points, most_ticks, axis_of(panel.curves))
  axes.set_ylabel(textwrap.fill(panel.ylabel, _TITLE_WIDTH))
  for curve in panel.curves:
    _draw_curve(axes, curve, names)
  for field, (_, color, width, dash) in _LEVELS.items():
    value = getattr(panel, field)
    if value is not None:
      line = axes.axvline if field == "natural" else axes.axhline
      line(
        100 * getattr(value, "mean", value),
        color=color,
        linewidth=width,
        linestyle=dash,
        zorder=1,
      )


def _draw_curve(axes: Axes, curve: Curve, names: Names) -> None:
  """Draws a curve with its standard errors."""
  estimates = [point.estimate for point in curve.points]
  color, marker = names.style(curve.task)
  style = {"color": color, "marker": marker} | _STARTS.get(curve.init, {})
  axes.errorbar(
    [100 * point.remaining for point in curve.points],
    [100 * e.mean for e in estimates],
    [math.nan if e.error is None else 100 * e.error for e in estimates],
    **style,
    markersize=4.5,
    linewidth=1.3,
    elinewidth=0.9,
    capsize=2,
  )


def _draw_histogram(axes: Axes, histogram: Histogram, names: Names) -> None:
  width = histogram.exponents[1] - histogram.exponents[0]
  edges = [histogram.exponents[0] - width, *histogram.exponents]
  for series, shares in histogram.shares.items():
    axes.stairs(
      [100 * share for share in shares],
      [10.0**edge for edge in edges],
      color=names.style(series)[0],
      linewidth=1.3,
    )
  for value, dash in zip(
    histogram.thresholds.values(), _THRESHOLD_LINES, strict=False
  ):
    axes.axvline(value, color="0.5", linewidth=1.0, linestyle=dash)
  axes.set_xscale("log")
  axes.set_yscale("symlog", linthresh=0.1)
  axes.set_ylim(0, 110)
  axes.set_yticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
  axes.minorticks_off()
  axes.set_xlabel("Magnitude of a weight (left end: smaller)")
  axes.set_ylabel(histogram.ylabel)
  axes.spines[["top", "right"]].set_visible(False)


def _keys(
  panels: Sequence[Panel | Histogram], names: Names
) -> list[lines.Line2D]:
  """Makes the legend's entries: the series, then starts, then single lines."""
  series, starts, levels = {}, {}, {}
  for panel in panels:
    if isinstance(panel, Histogram):
      for name in panel.shares:
        series.setdefault(name, "")
      for name, dash in zip(panel.thresholds, _THRESHOLD_LINES, strict=False):
        levels[name] = (name, "0.5", 1.0, dash)
      continue
    for curve in panel.curves:
      if "color" not in _STARTS.get(curve.init, {}):
        series.setdefault(curve.task, "" if curve.init else "-")
      if curve.init:
        starts[curve.init] = _STARTS.get(curve.init, {})
    for field, level in _LEVELS.items():
      if getattr(panel, field) is not None:
        levels[field] = level
  found = []
  for name, linestyle in series.items():
    color, marker = names.style(name)
    style = {"color": color, "marker": marker, "linestyle": linestyle}
    found.append(_key(names.label(name), **style))
  for init in sorted(starts, key=lambda init: rank(_STARTS, init)):
    style = {"color": "0.15", "marker": "o"} | starts[init]
    found.append(_key(label_start(init), **style))
  for name, color, width, dash in levels.values():
    style = {"color": color, "linewidth": width, "linestyle": dash}
    found.append(_key(name, **style))
  return found


def _key(label: str, **style) -> lines.Line2D:
  style = {"linewidth": 1.3, "markersize": 5} | style
  return lines.Line2D([], [], label=label, **style)


def _legend_columns(
  keys: Sequence[lines.Line2D], width: float, most: int
) -> int:
  """Returns how many columns of a legend fit into a width in inches."""
  letters = [len(key.get_label()) + _KEY_LETTERS for key in keys]
  for count in range(min(most, len(keys)), 1, -1):
    columns = np.array_split(letters, count)  # As matplotlib fills them.
    if _LETTER * sum(column.max() for column in columns) <= width:
      return count
  return 1
