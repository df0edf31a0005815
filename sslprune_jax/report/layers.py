"""The figure of layers: where the weights stay, a panel a task."""

import math

import matplotlib
from matplotlib import cm, colors, ticker
from matplotlib.figure import Figure

from sslprune_jax.report import figures
from sslprune_jax.report.names import Names

_NAMED_LAYERS = 12  # with more of them, the colour bar counts


def draw(
  densities: dict[str, list[tuple[float, dict[str, float]]]], names: Names
) -> Figure:
  """Draws the density of every layer against that of the network.

  Args:
    densities: shares from `curves.layer_densities`, of at least one task.
    names: labels of the tasks.

  Returns:
    One panel a task; dotted: all layers pruned alike.
  """
  columns = min(2, len(densities))
  count = math.ceil(len(densities) / columns)
  figure = Figure((2.7 * columns + 1.7, 2.9 * count), layout="constrained")
  panels = list(
    figure.subplots(count, columns, sharey=True, squeeze=False).flat
  )
  paths = list(dict.fromkeys(p for d in densities.values() for p in d[0][1]))
  # The light end of the map would not be seen on white.
  shades = matplotlib.colormaps["viridis"].resampled(256)
  shades = colors.ListedColormap(
    [shades(0.92 * i / max(1, len(paths) - 1)) for i in range(len(paths))]
  )
  for panel, (task, rounds) in zip(panels, densities.items(), strict=False):
    overall = [100 * density for density, _ in rounds]
    for i, path in enumerate(paths):
      kept = [100 * layer.get(path, math.nan) for _, layer in rounds]
      panel.plot(overall, kept, color=shades(i), linewidth=1.1)
    panel.plot(overall, overall, color="black", linewidth=1.2, linestyle=":")
    panel.set_title(names.label(task), fontsize=10)
    panel.set_yscale("log")
    figures.density_axis(panel, [density for density, _ in rounds], most=6)
    panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    panel.minorticks_off()
    panel.set_xlabel("")
  for panel in panels[len(densities) :]:
    panel.remove()
  figure.supxlabel("Remaining prunable weights (%)", fontsize=10)
  figure.supylabel("Remaining in the layer (%)", fontsize=10)
  _layer_bar(figure, shades, paths)
  return figure


def _layer_bar(figure, shades, paths: list[str]) -> None:
  count = len(paths)
  norm = colors.BoundaryNorm([i + 0.5 for i in range(count + 1)], count)
  bar = figure.colorbar(cm.ScalarMappable(norm, shades), ax=figure.axes)
  bar.ax.invert_yaxis()
  bar.ax.minorticks_off()
  bar.ax.tick_params(labelsize=8, length=0)
  bar.outline.set_visible(False)
  if count <= _NAMED_LAYERS:
    names = [p.removeprefix("trunk/").removesuffix("/kernel") for p in paths]
    bar.set_ticks(range(1, count + 1), labels=names)
  else:
    bar.set_ticks([1, *range(10, count + 1, 10)])
    bar.set_label("Layer, in forward order", fontsize=9)
