"""Figures 3 and 8 of the paper: masks of tasks, retrained on labels."""

import collections
import statistics

from sslprune_jax.report import gaps, verdicts
from sslprune_jax.report.curves import Curve, Point
from sslprune_jax.report.names import CHANCE, INITS
from sslprune_jax.report.panels import Panel, retraining_panel
from sslprune_jax.report.paper import grounds, overlaps
from sslprune_jax.report.paper.base import RETRAINED, STARTS, Drawn, PaperFigure
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.verdicts import Verdict
from sslprune_jax.report.words import write_remaining

_F3 = (
  "Retrained on labels from random re-init, masks found without labels match "
  "label masks. As winning tickets they are clearly below label tickets and "
  "far above random masks, the more so the sparser; label tickets beat label "
  "masks re-initialised, while those found without labels gain little or "
  "nothing."
)
_MASKS = "the task that found the mask (colour), the start (line and panel)"


def draw_masks(run: FigureRun) -> Drawn:
  """Draws masks of tasks as tickets, re-initialised and at random.

  Args:
    run: run with a variant a task, "labels" among them.
  """
  tasks = ["labels", *(name for name in run.variants if name != "labels")]
  tickets = {task: run.curve(task, "rewind") for task in tasks}
  again = {task: run.curve(task, "reinit") for task in tasks}
  random, adjusted = (
    run.curve("labels", init) for init in ("random", "adjusted")
  )
  drawn = [
    retraining_panel(
      f"{INITS[init].capitalize()}s",
      (*curves.values(), random, adjusted),
      dense=curves["labels"],
      natural=run.alive_share("labels"),
    )
    for init, curves in (("rewind", tickets), ("reinit", again))
  ]
  found = []
  for task in tasks[1:]:
    found += verdicts.unless(
      grounds.against_tasks(run, "labels", task),
      _judge(run.names.label(task), task, tickets, again, random),
    )
  claim = verdicts.greater(
    "Label tickets are above label masks re-initialised",
    gaps.difference(tickets["labels"], again["labels"]),
  )
  found += verdicts.unless(grounds.against_tasks(run, "labels"), [claim])
  return [*drawn, *_draw_overlap(run)], found


def _judge(
  name: str,
  task: str,
  tickets: dict[str, Curve],
  again: dict[str, Curve],
  random: Curve,
) -> list[Verdict]:
  """Judges the masks of a task against those of labels, and random ones."""
  pruned = [p for p in tickets[task].points if p.round > 0]
  least, most = (
    gaps.difference(tickets["labels"], tickets[task], [p.round for p in ends])
    for ends in (pruned[:1], pruned[-1:])
  )
  return [
    verdicts.equal(
      f"Re-initialised, masks of {name} match label masks",
      gaps.difference(again[task], again["labels"]),
    ),
    verdicts.greater(
      f"Label tickets are above {name} tickets",
      gaps.difference(tickets["labels"], tickets[task]),
    ),
    verdicts.greater(
      f"The gap between Labels and {name} grows from "
      f"{write_remaining(pruned[:1])} to {write_remaining(pruned[-1:])} "
      "remaining",
      gaps.minus(most, least),
    ),
    verdicts.greater(
      f"{name} tickets are above random masks",
      gaps.difference(tickets[task], random),
    ),
    verdicts.equal(
      f"{name} tickets gain little over their re-init",
      gaps.difference(tickets[task], again[task]),
    ),
  ]


def _draw_overlap(run: FigureRun) -> list[Panel]:
  """Draws what masks share with the label mask, and would by chance."""
  curves = []
  for other, lines in overlaps.with_labels(run.overlaps).items():
    rounds = collections.defaultdict(list)
    for line in lines:
      rounds[line["round"]].append(line)
    for init, by_chance in (("rewind", False), (CHANCE, True)):
      points = [
        Point(
          index,
          statistics.fmean(overlaps.density(line["layers"]) for line in own),
          0.0,  # No share of all parameters: nothing reads it.
          {
            line["seed"]: overlaps.over_union(line["layers"], by_chance)
            for line in own
          },
        )
        for index, own in sorted(rounds.items())
      ]
      curves.append(Curve(other, init, tuple(points)))
  if not curves:
    return []
  title, ylabel = "Overlap with the label mask", "Intersection over union (%)"
  return [Panel(title, ylabel, tuple(curves))]


FIGURES = {
  "fig3_masks": PaperFigure(
    title="Figure 3: masks retrained on labels",
    ids="F3",
    statement=_F3,
    shown=(
      f"{RETRAINED} {STARTS} Right: intersection over union with the label "
      "mask of the same seed, and what masks with as many weights in each "
      "layer, drawn at random, share by chance."
    ),
    varied=_MASKS,
    draw=draw_masks,
  ),
  "fig8_architectures": PaperFigure(
    title="Figure 8: figure 3 with other networks",
    ids="F8",
    statement=_F3,
    shown=f"{RETRAINED} {STARTS} Right: as in figure 3.",
    varied=_MASKS,
    draw=draw_masks,
  ),
}
