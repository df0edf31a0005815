"""Curves -> matplotlib figures: pure functions, no pyplot, no global state."""

import io
import math
from collections.abc import Iterable, Sequence

import matplotlib
from matplotlib import cm, colors, lines, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslprune_jax.report.curves import Curve
from sslprune_jax.report.results import INITS, TASKS, task_name
from sslprune_jax.report.transfers import METRICS, PRUNED, Transfer

# Okabe and Ito (2008): told apart by colour-blind readers; the markers part
# them once more, for grey prints.
_STYLES = dict(
  zip(
    TASKS,
    zip(
      ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"],
      "os^Dvp",
      strict=True,
    ),
    strict=True,
  )
)
_OF_SERIES = {
  "few_images": "exemplar",
  "s4l_few_images": "s4l",
  "few_classes": "exemplar",
  "s4l_few_classes": "s4l",
  "epochs": "labels",
  "samples": "rotnet",
  "updates": "exemplar",
  "share": "npid",
}
_STYLES |= {series: _STYLES[task] for series, task in _OF_SERIES.items()}
_OTHER = ("black", "*")
STARTS = {
  "rewind": {"linestyle": "-"},
  "reinit": {"linestyle": "--", "markerfacecolor": "white"},
  "random": {"linestyle": "-", "color": "0.55", "marker": "X"},
  "adjusted": {"linestyle": ":", "color": "0.55", "marker": "P"},
}
WHEN_PRUNED = {
  "finetune": {"linestyle": "-"},
  "prune": {"linestyle": "--", "markerfacecolor": "white"},
}
_ROTATIONS_CHANCE = 0.25
_NAMED_LAYERS = 12  # with more of them, the colour bar counts


def retrained(curves: Sequence[Curve]) -> Figure:
  """Draws accuracy after retraining on labels against remaining weights.

  Args:
    curves: of stage "retrain"; starts other than INITS are not drawn.

  Returns:
    The figure; the thin line is the dense network of the first task.
  """
  figure, axes = _figure(curves, "Accuracy after retraining (%)")
  curves = [curve for curve in curves if curve.init in INITS]
  for curve in curves:
    draw(axes, curve, **STARTS[curve.init])
  handles = [key(task_name(t), t, linestyle="") for t in _tasks(curves)]
  for init, name in INITS.items():
    if any(curve.init == init for curve in curves):
      handles.append(key(name, None, **STARTS[init]))
  tickets = [curve for curve in curves if curve.init == "rewind"]
  dense = next(filter(None, (curve.at(0) for curve in tickets)), None)
  if dense:
    style = {"color": "0.3", "linewidth": 0.8, "zorder": 1}
    axes.axhline(100 * dense.estimate.mean, **style)
    handles.append(lines.Line2D([], [], label="dense network", **style))
  legend(figure, handles)
  return figure


def pretext(curves: Sequence[Curve]) -> Figure:
  """Draws the accuracy on the task's own problem against remaining weights.

  Args:
    curves: of stage "pretext".

  Returns:
    The figure, with the chance level of rotations where they come near it.
  """
  figure, axes = _figure(curves, "Accuracy on the task itself (%)")
  handles = [key(task_name(task), task) for task in _tasks(curves)]
  for curve in curves:
    draw(axes, curve)
    lowest = min(point.estimate.mean for point in curve.points)
    if curve.task == "rotnet" and lowest < 2 * _ROTATIONS_CHANCE:
      style = {"color": "0.5", "linewidth": 0.8, "linestyle": ":"}
      axes.axhline(100 * _ROTATIONS_CHANCE, **style)
      handles.append(lines.Line2D([], [], label="chance, 4 angles", **style))
  legend(figure, handles)
  return figure


def transferred(transfer: Transfer) -> Figure:
  """Draws what networks are worth on a target against remaining weights.

  Args:
    transfer: one protocol on one target, with at least one curve.

  Returns:
    The figure; the dotted line is the untrained network.
  """
  curves = transfer.curves
  figure, axes = _figure(curves, f"{METRICS[transfer.metric]} (%)")
  for curve in curves:
    draw(axes, curve, **WHEN_PRUNED.get(curve.init, {}))
  handles = [key(task_name(t), t, linestyle="") for t in _tasks(curves)]
  for init, name in PRUNED.items():
    if any(curve.init == init for curve in curves):
      handles.append(key(name, None, **WHEN_PRUNED[init]))
  if transfer.random:
    style = {"color": "0.3", "linewidth": 1.0, "linestyle": ":", "zorder": 1}
    axes.axhline(100 * transfer.random.mean, **style)
    handles.append(lines.Line2D([], [], label="untrained network", **style))
  legend(figure, handles)
  return figure


def layers(
  densities: dict[str, list[tuple[float, dict[str, float]]]],
) -> Figure:
  """Draws the density of every layer against that of the network.

  Args:
    densities: what `curves.layer_densities` returns, at least one task.

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
    panel.set_title(task_name(task), fontsize=10)
    panel.set_yscale("log")
    weights_axis(panel, [density for density, _ in rounds], most=6)
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


def png(figure: Figure) -> bytes:
  """Renders a figure at 200 dots per inch."""
  return _rendered(figure, format="png", dpi=200)


def pdf(figure: Figure) -> bytes:
  """Renders a figure for print; the same figure gives the same bytes."""
  return _rendered(figure, format="pdf", metadata={"CreationDate": None})


def _rendered(figure: Figure, **how) -> bytes:
  buffer = io.BytesIO()
  figure.savefig(buffer, **how)
  return buffer.getvalue()


def percent(fraction: float) -> str:
  """Writes a share of weights in percent: 100, 51, 8.6, 0.12."""
  return f"{float(f'{100 * fraction:.2g}'):g}"


def _figure(curves: Sequence[Curve], ylabel: str) -> tuple[Figure, Axes]:
  # 10 point text at 5 inches is 6.6 points in a column of 3.3 inches.
  figure = Figure((5, 3.6), layout="constrained")
  axes = figure.subplots()
  weights_axis(axes, [p.density for c in curves for p in c.points], most=9)
  axes.set_ylabel(ylabel)
  return figure, axes


def weights_axis(axes: Axes, densities: Iterable[float], most: int) -> None:
  """Makes a logarithmic axis of remaining weights, with some ticks."""
  densities = sorted(set(densities))
  ticks = [densities[0], densities[-1]]  # and those between that have room
  gap = math.log(ticks[1] / ticks[0]) / most
  for density in densities[1:-1]:
    if all(abs(math.log(density / tick)) >= gap for tick in ticks):
      ticks.append(density)
  axes.set_xscale("log")
  axes.set_xticks([100 * t for t in ticks], [percent(t) for t in ticks])
  axes.minorticks_off()
  margin = 1.05 * math.exp(gap / 4)
  axes.set_xlim(100 * densities[-1] * margin, 100 * densities[0] / margin)
  axes.set_xlabel("Remaining prunable weights (%)")
  axes.tick_params(labelsize=9)
  axes.spines[["top", "right"]].set_visible(False)
  axes.grid(axis="y", color="0.92", linewidth=0.6)
  axes.set_axisbelow(True)


def style(series: str | None) -> tuple[str, str]:
  """Returns the colour and the marker of a task, or of another series."""
  return _STYLES.get(series, _OTHER)


def draw(axes: Axes, curve: Curve, **own) -> None:
  """Draws a curve with its standard errors."""
  estimates = [point.estimate for point in curve.points]
  color, marker = style(curve.task)
  axes.errorbar(
    [100 * point.density for point in curve.points],
    [100 * e.mean for e in estimates],
    [math.nan if e.error is None else 100 * e.error for e in estimates],
    **{"color": color, "marker": marker, **own},
    markersize=4.5,
    linewidth=1.3,
    elinewidth=0.9,
    capsize=2,
  )


def legend(
  figure: Figure, handles: Sequence[lines.Line2D], columns: int = 3
) -> None:
  """Puts a legend above all axes."""
  figure.legend(
    handles=handles,
    loc="outside upper center",
    ncols=min(columns, len(handles)),
    frameon=False,
    fontsize=9,
  )


def _tasks(curves: Iterable[Curve]) -> list[str]:
  return list(dict.fromkeys(c.task for c in curves if c.task is not None))


def key(label: str, task: str | None, **style) -> lines.Line2D:
  """Makes a legend's entry for a task, or for a line of a start (None)."""
  color, marker = _STYLES.get(task, ("0.15", "o") if task is None else _OTHER)
  style = {"color": color, "marker": marker, "markersize": 5, **style}
  return lines.Line2D([], [], label=label, linewidth=1.3, **style)


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
