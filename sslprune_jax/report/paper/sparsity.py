"""Figures of what training itself drives to zero: 6 and 10 of the paper."""

import statistics

from sslprune_jax.report import verdicts
from sslprune_jax.report.panels import Drawn, Histogram, remaining, retrained
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.results import task_name

_PRECISION = "machine_precision"


def natural_sparsity(run: FigureRun) -> Drawn:
  """Figures 6 and 10: magnitudes before pruning, and what they do to it."""
  shares, exponents, thresholds = {}, [], {}
  for variant, seeds in run.magnitudes.items():
    rows = []
    for of in seeds.values():
      bins, exponents = of["histogram"], of["histogram"]["exponents"]
      thresholds = {
        name.replace("_", " "): at["threshold"]
        for name, at in of["at_most"].items()
        if at["threshold"] > 0  # No place on a logarithmic axis.
      }
      counts = [bins["below"], *bins["counts"]]
      rows.append([count / of["remaining"] for count in counts])
    if rows:
      shares[variant] = [statistics.fmean(of) for of in zip(*rows, strict=True)]
  panels = []
  if shares:
    panels.append(
      Histogram(
        "Weights of the dense network",
        shares,
        exponents,
        thresholds,
      )
    )
  found = []
  sparse = run.config["dataset"]["name"] != "imagenet2012"
  for variant in run.variants:
    name = task_name(variant)
    inits = ("rewind", "reinit", "random", "adjusted")
    curves = {init: run.curve(variant, init) for init in inits}
    natural = run.natural_sparsity(variant, _PRECISION)
    tickets, left = curves["rewind"], alive(run, variant)
    panels.append(
      retrained(
        f"Pruned, masks of {name}",
        curves.values(),
        dense=tickets,
        natural=left,
      )
    )
    claim = f"{name}: of the dense network's weights"
    if not sparse:
      text = f"{claim}, hardly any are zero at machine precision"
      found.append(verdicts.less(text, natural, 0.05))
      continue
    text = f"{claim}, more than half are zero at machine precision"
    found.append(verdicts.greater(text, natural, 0.5))
    if left is None:
      continue
    points = [p for p in tickets.points if p.round and p.density >= left]
    free = [p.round for p in points]
    if free:
      found += [
        verdicts.no_less(
          f"{name}: tickets lose nothing down to {remaining(points[-1:])} "
          "remaining, where no more is pruned than is zero by itself",
          verdicts.change(tickets, free[-1]),
        ),
        verdicts.greater(
          f"{name}: random masks are worse than those adjusted for it, there",
          verdicts.difference(curves["adjusted"], curves["random"], free),
        ),
      ]
  return panels, found


def alive(run: FigureRun, variant: str) -> float | None:
  """Returns the share that training left alive, where it is not nearly all."""
  shares = run.natural_sparsity(variant, _PRECISION).values()
  share = statistics.fmean(shares) if shares else 0.0
  return 1 - share if share > 0.01 else None
