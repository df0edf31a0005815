"""Draws what the benchmarks found."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

_BLUE, _RED = "#1f4e79", "#c0392b"


def ratios(found, cases, path):
  """Draws the ratio and the target of each case that was run."""
  figure, axes = plt.subplots(figsize=(7.5, 0.36 * len(found) + 1))
  at = np.arange(len(found))[::-1]
  medians = np.array([of["ratio"] for of in found.values()])
  low, high = np.transpose([of["quartiles"] for of in found.values()])
  axes.errorbar(
    medians,
    at,
    xerr=(np.maximum(medians - low, 0), np.maximum(high - medians, 0)),
    fmt="o",
    color=_BLUE,
    capsize=3,
    label="measured, with quartiles",
  )
  axes.plot(
    [cases[name].target for name in found],
    at,
    "|",
    color=_RED,
    markersize=14,
    markeredgewidth=2,
    label="target",
  )
  axes.axvline(1, color="0.6", linewidth=0.8)
  axes.set_xscale("log")
  ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
  axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
  axes.minorticks_off()
  axes.set_yticks(at, [name.replace("_", " ") for name in found])
  axes.set_xlabel("time, ours over the peer's (log scale; left is faster)")
  axes.legend(loc="lower left", fontsize=8)
  axes.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  figure.savefig(path, dpi=130)
  plt.close(figure)


def growth(parts, path):
  """Draws the seconds of each part over what grows, both logarithmic."""
  figure, grid = plt.subplots(2, 3, figsize=(9, 5.4))
  for axes, part in zip(grid.flat, parts, strict=True):
    sizes, seconds = np.array(part["sizes"]), np.array(part["seconds"])
    axes.loglog(sizes, seconds, "o-", color=_BLUE)
    linear = seconds[-1] * sizes / sizes[-1]
    axes.loglog(sizes, linear, ":", color="0.5")
    axes.set_title(part["part"], fontsize=9)
    axes.set_xlabel(
      f"{part['of']} (exponent {part['exponent']:g}, "
      f"{part['exponent_at_the_end']:g} at the end)",
      fontsize=8,
    )
    axes.set_ylabel("seconds", fontsize=8)
    axes.set_xticks(sizes, [_short(size) for size in sizes], fontsize=7)
    axes.minorticks_off()
    axes.tick_params(axis="y", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  figure.savefig(path, dpi=130)
  plt.close(figure)


def _short(size):
  return f"{size:g}" if size < 1000 else ticker.EngFormatter(sep="")(size)


def profiles(studies, path):
  """Draws the share of each part of a study as one bar a study."""
  names = list(dict.fromkeys(part for s in studies for part in s["shares"]))
  figure, axes = plt.subplots(figsize=(8, 1.1 * len(studies) + 1.6))
  colors = plt.get_cmap("tab20")(np.arange(len(names)))
  at = np.arange(len(studies))[::-1]
  left = np.zeros(len(studies))
  for name, color in zip(names, colors, strict=True):
    shares = np.array([100 * s["shares"].get(name, 0) for s in studies])
    axes.barh(at, shares, left=left, color=color, label=name, height=0.6)
    left += shares
  axes.set_yticks(
    at,
    [f"{s['study'].replace('_', ' ')}\n{s['seconds']:.0f} s" for s in studies],
  )
  axes.set_xlim(0, 100)
  axes.set_xlabel(
    "share of the time from the start of Python to the report (%)"
  )
  axes.spines[["top", "right"]].set_visible(False)
  figure.legend(
    *axes.get_legend_handles_labels(), ncols=4, fontsize=8, loc="upper center"
  )
  figure.tight_layout(rect=(0, 0, 1, 1 - 0.75 / figure.get_figheight()))
  figure.savefig(path, dpi=130)
  plt.close(figure)
