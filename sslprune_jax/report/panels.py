"""Panels: what is drawn side by side, as data; `figures` draws them."""

import dataclasses
from collections.abc import Iterable, Sequence

from sslprune_jax.report.curves import Curve, Estimate
from sslprune_jax.report.names import INITS, METRICS
from sslprune_jax.report.transfers import TransferCurves
from sslprune_jax.workdir import UNTRAINED

_ROTATIONS_CHANCE = 0.25


@dataclasses.dataclass(frozen=True)
class Panel:
  """Curves against what remains: weights, or multiply-adds.

  Attributes:
    title: words above it, or none.
    ylabel: words for what is measured, with its unit, percent.
    curves: curves, at least one; `task` is the series, which has a colour;
      `init` the start, which has a line: a name of `INITS` or `PRUNED`,
      `CHANCE`, or None.
    dense: value of the dense network, a thin line.
    untrained: value of a network before any training, a dotted line.
    natural: share of the weights that training did not drive to zero, in
      (0, 1], an upright line.
    chance: share of four angles that guessing finds, a dotted line.
  """

  title: str
  ylabel: str
  curves: tuple[Curve, ...]
  dense: Estimate | None = None
  untrained: Estimate | None = None
  natural: float | None = None
  chance: float | None = None


def retraining_panel(
  title: str,
  curves: Iterable[Curve],
  dense: Curve | None = None,
  natural: float | None = None,
) -> Panel:
  """Returns a panel of accuracies after retraining.

  Args:
    title: words above it, or none.
    curves: those without points, or of a start not in `INITS`, are left out.
    dense: curve whose dense network is the thin line.
    natural: share that training left alive, see `Panel`.
  """
  at = dense.at(0) if dense else None
  return Panel(
    title,
    "Accuracy after retraining (%)",
    tuple(curve for curve in curves if curve.points and curve.init in INITS),
    dense=at.estimate if at else None,
    natural=natural,
  )


def pretext_panel(title: str, curves: Iterable[Curve]) -> Panel:
  """Returns a panel of accuracies of tasks on their own problems.

  Args:
    title: words above it, or none.
    curves: one curve a task.

  Returns:
    The panel, with the chance level of rotations where they come near it.
  """
  curves = tuple(curves)
  rotations = [
    point.estimate.mean
    for curve in curves
    for point in curve.points
    if curve.task == "rotnet"
  ]
  near = min(rotations, default=1.0) < 2 * _ROTATIONS_CHANCE
  return Panel(
    title,
    "Accuracy on the task itself (%)",
    curves,
    chance=_ROTATIONS_CHANCE if near else None,
  )


def transfer_panel(title: str, transfer: TransferCurves) -> Panel:
  """Returns a panel of what networks are worth on a target.

  Args:
    title: words above it, or none.
    transfer: one protocol on one target, with at least one curve.
  """
  return Panel(
    title,
    f"{METRICS[transfer.metric]} (%)",
    transfer.curves,
    untrained=transfer.untrained,
  )


@dataclasses.dataclass(frozen=True)
class Histogram:
  """Magnitudes of the weights of dense networks.

  Attributes:
    title: words above it.
    shares: series -> share of the weights in each bin, in [0, 1]; all that is
      smaller is in the first bin.
    exponents: powers of 10 that the bins end at.
    thresholds: name -> magnitude, upright lines.
    ylabel: words for what is measured, with its unit.
  """

  title: str
  shares: dict[str, list[float]]
  exponents: list[float]
  thresholds: dict[str, float]
  ylabel: str = "Share of the weights (%)"


def rows(panels: Sequence[Panel | Histogram]) -> list[dict]:
  """Returns the numbers of panels as rows of a spreadsheet.

  Args:
    panels: those of one figure.

  Returns:
    A row a point: `panel, series, start, round, remaining` (share of the
    prunable weights), `multiply_adds` (share of these, where channels went),
    `mean, standard_error, n` and the `values` of the seeds; of a histogram,
    `exponent` (the bin ends at 10 to it) and `share`.
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
      estimate, cost = point.estimate, point.multiply_adds
      found.append(
        {
          "panel": panel.title,
          "series": curve.task or UNTRAINED,
          "start": curve.init or "",
          "round": point.round,
          "remaining": point.density,
          **({} if cost is None else {"multiply_adds": cost}),
          "mean": estimate.mean,
          "standard_error": estimate.error,
          "n": estimate.n,
          "values": " ".join(
            f"{seed}:{value:.6g}" for seed, value in point.values.items()
          ),
        }
      )
  return found
