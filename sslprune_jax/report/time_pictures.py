"""The figure of times: quality against measured time, a panel a way."""

import math
import textwrap

from matplotlib import lines, ticker
from matplotlib.figure import Figure

from sslprune_jax.report.curves import estimate
from sslprune_jax.report.names import Names
from sslprune_jax.report.times import Times, describe

_COLUMNS, _TITLE_WIDTH = 3, 34
# Network -> line and face; that of int8 is not judged.
_STYLES = {
  "dense": {"linestyle": "", "marker": "*", "markersize": 10},
  "masked": {"linestyle": "--", "markerfacecolor": "white"},
  "shrunk": {"linestyle": "-"},
}


def draw(times: Times, names: Names) -> Figure | None:
  """Draws the quality of networks against their time over the dense one's.

  Each ratio is of networks that took turns; times of two calls may be of a
  machine that did other things meanwhile.

  Args:
    times: what was measured of a run.
    names: labels and colours of the tasks.

  Returns:
    The figure; None where nothing that was measured was judged.
  """
  shown = [
    each for each in times.timings if each.quality and each.network in _STYLES
  ]
  ways = list(dict.fromkeys(each.way for each in shown))
  if not ways:
    return None
  columns = min(_COLUMNS, len(ways))
  count = math.ceil(len(ways) / columns)
  size = (5, 3.6) if columns == 1 else (3.3 * columns, 2.9 * count + 0.5)
  figure = Figure(size, layout="constrained")
  grid = figure.subplots(count, columns, sharey=True, squeeze=False)
  for axes, way in zip(grid.flat, ways, strict=False):
    own = [each for each in shown if each.way == way]
    for task in dict.fromkeys(each.task for each in own):
      for network, style in _STYLES.items():
        points = [e for e in own if (e.task, e.network) == (task, network)]
        _draw_line(axes, points, names.style(task), style)
    axes.set_title(describe(way), fontsize=10)
    axes.set_xlabel("Time over the dense network's")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.set_xlim(0, 1.08 * max(each.of_dense for each in own))
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
  for axes in list(grid.flat)[len(ways) :]:
    axes.remove()
  for row in grid:
    row[0].set_ylabel(textwrap.fill(times.measure.capitalize(), _TITLE_WIDTH))
  keys = _list_keys(shown, names)
  figure.legend(
    handles=keys,
    loc="outside upper center",
    ncols=min(len(keys), 3 * columns),
    frameon=False,
    fontsize=9,
  )
  return figure


def _draw_line(axes, points, of_task, style) -> None:
  color, marker = of_task
  estimates = [estimate(point.quality.values()) for point in points]
  axes.errorbar(
    [point.of_dense for point in points],
    [100 * e.mean for e in estimates],
    [math.nan if e.error is None else 100 * e.error for e in estimates],
    **({"color": color, "marker": marker, "markersize": 4.5} | style),
    linewidth=1.3,
    elinewidth=0.9,
    capsize=2,
  )


def _list_keys(shown, names: Names) -> list[lines.Line2D]:
  tasks = list(dict.fromkeys(each.task for each in shown))
  keys = [
    lines.Line2D(
      [], [], label=names.label(task), color=color, marker=marker, linestyle=""
    )
    for task in tasks
    for color, marker in [names.style(task)]
  ]
  networks = {each.network for each in shown}
  return keys + [
    lines.Line2D([], [], label=name, **({"color": "0.15", "marker": "o"} | how))
    for name, how in _STYLES.items()
    if name in networks
  ]
