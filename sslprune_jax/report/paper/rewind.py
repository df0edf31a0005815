"""Figure 7 and table 1 of the paper: where tickets are rewound to."""

import dataclasses

from sslprune_jax.report import gaps, verdicts
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.names import INITS
from sslprune_jax.report.panels import retraining_panel
from sslprune_jax.report.paper import grounds
from sslprune_jax.report.paper.base import RETRAINED, Drawn, PaperFigure
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.tables import Table
from sslprune_jax.report.words import write_duration, write_range


def draw_criteria(run: FigureRun) -> Drawn:
  """Draws four criteria of where to rewind to, and judges that they differ.

  Args:
    run: run with a variant a criterion.
  """
  drawn, found = [], []
  for init in ("rewind", "reinit"):
    curves = {name: run.curve(name, init) for name in run.variants}
    title = f"{INITS[init].capitalize()}s"
    drawn.append(retraining_panel(title, curves.values()))
    if init == "rewind":
      begun = {name: curve for name, curve in curves.items() if curve.points}
      rounds = gaps.shared_rounds(begun.values())
      means = {
        name: gaps.difference(curve, _zero(curve), rounds)
        for name, curve in begun.items()
      }
      found.append(verdicts.differ("Tickets depend on the criterion", means))
  return drawn, verdicts.unless(
    grounds.against_tasks(run, *run.variants), found
  )


def _zero(curve: Curve) -> Curve:
  """Returns a curve of zeros, so that a difference from it is the curve."""
  points = tuple(
    dataclasses.replace(p, values=dict.fromkeys(p.values, 0.0))
    for p in curve.points
  )
  return dataclasses.replace(curve, points=points)


def tabulate_criteria(run: FigureRun) -> Table:
  """Tabulates where each criterion rewinds to: the paper's table 1.

  Args:
    run: run with a variant a criterion.
  """
  rows = []
  for variant, runs in run.variants.items():
    config = runs[0].config
    k = sorted({row["rewind_update"] for row in runs[0].rows})
    batch = config["train"]["batch_size"]
    rewind = write_duration(config["prune"]["rewind"])
    name = run.names.label(variant)
    rows.append([name, rewind, str(batch), write_range(k)])
  return Table(["criterion", "rewind", "batch", "update k"], rows)


FIGURES = {
  "fig7_rewind": PaperFigure(
    title="Figure 7 and table 1: the rewind criterion",
    ids="T1, F7",
    statement=(
      "Tickets of a tenth of ImageNet's labels are sensitive to where they are "
      "rewound to: to equal epochs, samples, updates, or share of training."
    ),
    shown=RETRAINED,
    varied="the criterion of rewinding (colour), the start (panel)",
    draw=draw_criteria,
    table=tabulate_criteria,
    tabulated="Where each criterion rewinds to (table 1).",
  ),
}
