"""Figures 6 and 10 of the paper: what training itself drives to zero."""

import dataclasses
import statistics

from sslprune_jax.report import gaps, verdicts
from sslprune_jax.report.curves import Curve, estimate
from sslprune_jax.report.names import INITS
from sslprune_jax.report.panels import (
  Histogram,
  retraining_panel,
)
from sslprune_jax.report.paper import grounds
from sslprune_jax.report.paper.base import RETRAINED, STARTS, Drawn, PaperFigure
from sslprune_jax.report.paper.runs import MACHINE_PRECISION, FigureRun
from sslprune_jax.report.tables import Table
from sslprune_jax.report.verdicts import Verdict
from sslprune_jax.report.words import write_estimate, write_remaining

_F6 = (
  "A network trained on CIFAR-10 is already sparse: at machine precision "
  "80.3 % of ResNet-18's weights and 84.5 % of VGG-19's are zero, while "
  "ImageNet's networks are not; so pruning fewer than those says little."
)
_MAGNITUDES = (
  "Left: magnitudes of the dense network's prunable weights, in bins of a "
  "quarter decade. " + RETRAINED + " Upright line: as many weights remain as "
  "training did not drive to zero by itself. " + STARTS
)
_TABULATED = (
  "Prunable weights of the dense network whose magnitude is at most the "
  "threshold, mean ± standard error; machine precision is 1.2e-7."
)


def draw_natural_sparsity(run: FigureRun) -> Drawn:
  """Draws magnitudes before pruning, and judges what they do to it.

  Args:
    run: run with magnitudes of dense networks.
  """
  drawn, found = _draw_magnitudes(run), []
  for variant in run.variants:
    name = run.names.label(variant)
    curves = {init: run.curve(variant, init) for init in INITS}
    left = run.alive_share(variant)
    drawn.append(
      retraining_panel(
        f"Pruned, masks of {name}",
        curves.values(),
        dense=curves["rewind"],
        natural=left,
      )
    )
    zero = run.natural_sparsity(variant, MACHINE_PRECISION)
    claim = f"{name}: of the dense network's weights"
    if run.config["dataset"]["name"] == "imagenet2012":
      text = f"{claim}, hardly any are zero at machine precision"
      own = [verdicts.less(text, zero, 0.05)]
    else:
      text = f"{claim}, more than half are zero at machine precision"
      own = [verdicts.greater(text, zero, 0.5), *_judge(name, curves, left)]
    found += verdicts.unless(grounds.against_tasks(run, variant), own)
  return drawn, found


def _draw_magnitudes(run: FigureRun) -> list[Histogram]:
  """Draws means over seeds; nothing where no magnitudes are known."""
  shares, exponents, thresholds = {}, [], {}
  for variant, seeds in run.magnitudes.items():
    rows = []
    for found in seeds.values():
      bins, exponents = found["histogram"], found["histogram"]["exponents"]
      thresholds = {
        name.replace("_", " "): at["threshold"]
        for name, at in found["at_most"].items()
        if at["threshold"] > 0  # No place on a logarithmic axis.
      }
      counts = [bins["below"], *bins["counts"]]
      rows.append([count / found["remaining"] for count in counts])
    if rows:
      columns = zip(*rows, strict=True)
      shares[variant] = [statistics.fmean(column) for column in columns]
  if not shares:
    return []
  title = "Weights of the dense network"
  return [Histogram(title, shares, exponents, thresholds)]


def _judge(
  name: str, curves: dict[str, Curve], left: float | None
) -> list[Verdict]:
  """Judges the rounds that prune no more than is zero by itself.

  Which those are is measured. The claims are the same whatever it is.
  """
  tickets = curves["rewind"]
  least = 1.0 if left is None else left
  points = [p for p in tickets.points if p.round and p.density >= least]
  rounds = [point.round for point in points]
  claims = [
    verdicts.no_less(
      f"{name}: tickets lose nothing where no more is pruned than is zero by "
      "itself",
      gaps.change(tickets, rounds[-1] if rounds else -1),
    ),
    verdicts.greater(
      f"{name}: random masks are worse than those adjusted for it, there",
      gaps.difference(curves["adjusted"], curves["random"], rounds),
    ),
  ]
  if not points and len(tickets.points) > 1:
    reason = "no round prunes as little as is zero by itself"
    return verdicts.unless(reason, claims)
  where = f"down to {write_remaining(points[-1:])} remaining"
  return [
    dataclasses.replace(v, test=f"{v.test}, {where}") if v.found else v
    for v in claims
  ]


def tabulate_sparsity(run: FigureRun) -> Table:
  """Tabulates natural sparsity by threshold, mean and standard error.

  Args:
    run: run with magnitudes of dense networks.
  """
  rows = []
  for variant in run.variants:
    row = [run.names.label(variant)]
    for threshold in ("zero", MACHINE_PRECISION, "1e-5"):
      shares = list(run.natural_sparsity(variant, threshold).values())
      row.append(write_estimate(estimate(shares)) if shares else "")
    rows.append(row)
  header = ["dense network", "exactly 0 (%)", "machine precision (%)"]
  return Table([*header, "at most 1e-5 (%)"], rows)


FIGURES = {
  "fig6_natural_sparsity": PaperFigure(
    title="Figure 6: natural sparsity",
    ids="F6",
    statement=_F6,
    shown=_MAGNITUDES,
    varied="the start (line)",
    draw=draw_natural_sparsity,
    table=tabulate_sparsity,
    tabulated=_TABULATED,
  ),
  "fig10_natural_sparsity": PaperFigure(
    title="Figure 10: figure 6 with other networks",
    ids="F10",
    statement=_F6,
    shown=_MAGNITUDES,
    varied="the start (line)",
    draw=draw_natural_sparsity,
    table=tabulate_sparsity,
    tabulated=_TABULATED,
  ),
}
