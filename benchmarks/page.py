"""Writes docs/benchmarks.md and its picture from what `run.py` found."""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

_DOCS = pathlib.Path(__file__).parent.parent / "docs"


def write(found):
  """Writes the page."""
  _draw(found["cases"], _DOCS / "benchmarks.png")
  (_DOCS / "benchmarks.md").write_text(_page(found))


def _page(found):
  about = found["about"]
  versions = ", ".join(
    f"{name} {number}" for name, number in about["versions"].items()
  )
  rows = "\n".join(
    f"| {case['ours']} | {case['peer']} | {case['ratio']:.2f} "
    f"({case['quartiles'][0]:.2f} to {case['quartiles'][1]:.2f}) "
    f"| {case['target']:g} | {'met' if _is_met(case) else 'missed'} "
    f"| {case['runs']} | {case['load']:.1f} |"
    for case in found["cases"]
  )
  notes = "\n".join(
    f"- {case['ours']}: {case['note']}"
    for case in found["cases"]
    if case["note"]
  )
  made = f"commit {about['commit']}, {about['date']}, {about['machine']}"
  return f"""# Benchmarks

Written by `python benchmarks/run.py --write`: {made}, Python
{about["python"]}, {versions}.

Ours over what a user would pick instead, each in a process of its own with two
threads, by turns on the same input, after what they compute was compared: the
median of the ratios of neighbouring runs, and their quartiles. Less than 1 is
faster. The machine is shared; the load is that after the last run.

| ours | peer | time, ours over the peer's | target | | runs | load |
|---|---|---|---|---|---|---|
{rows}

![Ratios and targets](benchmarks.png)

{notes}
"""


def _is_met(case):
  return case["ratio"] <= case["target"]


def _draw(cases, path):
  figure, axes = plt.subplots(figsize=(7.5, 0.36 * len(cases) + 1))
  at = np.arange(len(cases))[::-1]
  ratios = np.array([case["ratio"] for case in cases])
  low, high = np.transpose([case["quartiles"] for case in cases])
  axes.errorbar(
    ratios,
    at,
    xerr=(np.maximum(ratios - low, 0), np.maximum(high - ratios, 0)),
    fmt="o",
    color="#1f4e79",
    capsize=3,
    label="measured, with quartiles",
  )
  axes.plot(
    [case["target"] for case in cases],
    at,
    "|",
    color="#c0392b",
    markersize=14,
    markeredgewidth=2,
    label="target",
  )
  axes.axvline(1, color="0.6", linewidth=0.8)
  axes.set_xscale("log")
  ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]
  axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
  axes.minorticks_off()
  axes.set_yticks(at, [case["case"].replace("_", " ") for case in cases])
  axes.set_xlabel("time, ours over the peer's (log scale; left is faster)")
  axes.legend(loc="lower left", fontsize=8)
  axes.spines[["top", "right"]].set_visible(False)
  figure.tight_layout()
  figure.savefig(path, dpi=130)
  plt.close(figure)
