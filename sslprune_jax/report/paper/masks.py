"""Figures of masks that are retrained on labels: 3 to 10 of the paper.

Each function draws the panels of a figure from its run, and judges its claims.
"""

import collections
import dataclasses
import statistics

from sslprune_jax.report import verdicts
from sslprune_jax.report.curves import Curve, Point
from sslprune_jax.report.panels import Drawn, Panel, remaining, retrained
from sslprune_jax.report.paper import overlaps
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.paper.sparsity import alive
from sslprune_jax.report.results import INITS, task_name

_FEW = (
  *("labels", "rotnet", "few_images", "few_classes"),
  *("s4l_few_images", "s4l_few_classes"),
)


def masks(run: FigureRun) -> Drawn:
  """Figures 3 and 8: masks of tasks as tickets, re-initialised, at random."""
  tasks = [name for name in run.variants if name != "labels"]
  starts = {
    init: {task: run.curve(task, init) for task in ("labels", *tasks)}
    for init in ("rewind", "reinit")
  }
  controls = [run.curve("labels", init) for init in ("random", "adjusted")]
  random = controls[0]
  panels = []
  for init, of in starts.items():
    panels.append(
      retrained(
        f"{INITS[init].capitalize()}s",
        (*of.values(), *controls),
        dense=of["labels"],
        natural=alive(run, "labels"),
      )
    )
  panels += _overlap(run)
  tickets, again = starts["rewind"], starts["reinit"]
  found = []
  for task in tasks:
    name = task_name(task)
    gap = verdicts.difference(tickets["labels"], tickets[task])
    pruned = [p for p in tickets[task].points if p.round > 0]
    least, most = (
      (
        verdicts.difference(tickets["labels"], tickets[task], [p.round])
        for p in (pruned[0], pruned[-1])
      )
      if pruned
      else ({}, {})
    )
    found += [
      verdicts.equal(
        f"Re-initialised, masks of {name} match label masks",
        verdicts.difference(again[task], again["labels"]),
      ),
      verdicts.greater(f"Label tickets are above {name} tickets", gap),
      verdicts.greater(
        f"The gap between Labels and {name} grows from "
        f"{remaining(pruned[:1])} to {remaining(pruned[-1:])} remaining",
        verdicts.minus(most, least),
      ),
      verdicts.greater(
        f"{name} tickets are above random masks",
        verdicts.difference(tickets[task], random),
      ),
      verdicts.equal(
        f"{name} tickets gain little over their re-init",
        verdicts.difference(tickets[task], again[task]),
      ),
    ]
  found.append(
    verdicts.greater(
      "Label tickets are above label masks re-initialised",
      verdicts.difference(tickets["labels"], again["labels"]),
    )
  )
  return panels, found


def _overlap(run: FigureRun) -> list[Panel]:
  """Draws what masks share with the label mask, and would by chance."""
  curves = []
  for other, lines in overlaps.with_labels(run.overlaps).items():
    rounds = collections.defaultdict(list)
    for line in lines:
      rounds[line["round"]].append(line)
    for init, by_chance in (("rewind", False), ("chance", True)):
      points = [
        Point(
          index,
          statistics.fmean(overlaps.density(line["layers"]) for line in of),
          0.0,
          {
            line["seed"]: overlaps.over_union(line["layers"], by_chance)
            for line in of
          },
        )
        for index, of in sorted(rounds.items())
      ]
      curves.append(Curve(other, init, tuple(points)))
  if not curves:
    return []
  title, ylabel = "Overlap with the label mask", "Intersection over union (%)"
  return [Panel(title, ylabel, tuple(curves))]


def depth(run: FigureRun) -> Drawn:
  """Figures 4 and 9: only the first n convolutions are pruned."""
  layers = {
    name.removeprefix("labels_"): runs[0].config["prune"]["first_layers"]
    for name, runs in run.variants.items()
    if name.startswith("labels_")
  }
  depths = sorted(layers, key=lambda depth: layers[depth] or 10**9)
  panels, found, gaps = [], [], {}
  for depth in depths:
    curves = {
      (task, init): run.curve(f"{task}_{depth}", init, task)
      for task in ("labels", "rotnet")
      for init in ("rewind", "reinit")
    }
    count = layers[depth]
    title = f"First {count} layers" if count > 1 else "First layer"
    panels.append(
      retrained(
        f"{title} ({depth})" if count else "All layers",
        curves.values(),
        dense=curves["labels", "rewind"],
      )
    )
    gaps[depth] = verdicts.difference(
      curves["labels", "rewind"], curves["rotnet", "rewind"]
    )
  if depths:
    first, last = depths[0], depths[-1]
    found = [
      verdicts.equal(
        f"Pruned to {first} only, tickets of Labels and RotNet are close",
        gaps[first],
      ),
      verdicts.greater(
        "Pruned everywhere, tickets of Labels are above RotNet's", gaps[last]
      ),
      verdicts.greater(
        f"The gap is larger for all layers than for {first}",
        verdicts.minus(gaps[last], gaps[first]),
      ),
    ]
  return [panel for panel in panels if panel.curves], found


def few_labels(run: FigureRun) -> Drawn:
  """Figure 5: tickets of few labels, alone and with rotations."""
  tickets = {name: run.curve(name, "rewind") for name in _FEW}
  random = run.curve("labels", "random")
  panels, found = [], []
  for few, title in (
    ("few_images", "(a) Few images of each class"),
    ("few_classes", "(b) Images of few classes"),
  ):
    names = ("labels", "rotnet", few, f"s4l_{few}")
    panels.append(
      retrained(
        title,
        (*(tickets[name] for name in names), random),
        dense=tickets["labels"],
      )
    )
    few_, both = tickets[few], tickets[f"s4l_{few}"]
    found += [
      verdicts.greater(
        f"{task_name(few)}: its tickets are above RotNet's on everything",
        verdicts.difference(few_, tickets["rotnet"]),
      ),
      verdicts.greater(
        f"{task_name(f's4l_{few}')}: its tickets are above those of few labels",
        verdicts.difference(both, few_),
      ),
      verdicts.greater(
        f"{task_name(f's4l_{few}')}: its tickets are above RotNet's",
        verdicts.difference(both, tickets["rotnet"]),
      ),
    ]
  found.append(
    verdicts.greater(
      "Few labels gain more over RotNet per class (a) than of classes (b)",
      verdicts.difference(tickets["few_images"], tickets["few_classes"]),
    )
  )
  return [panel for panel in panels if panel.curves], found


def rewind(run: FigureRun) -> Drawn:
  """Figure 7: four criteria of where to rewind to."""
  panels, found = [], []
  for init in ("rewind", "reinit"):
    curves = {name: run.curve(name, init) for name in run.variants}
    panels.append(
      retrained(
        f"{INITS[init].capitalize()}s",
        curves.values(),
      )
    )
    if init == "rewind":
      means = {
        name: verdicts.difference(curve, _zero(curve))
        for name, curve in curves.items()
        if curve.points
      }
      found.append(verdicts.differ("Tickets depend on the criterion", means))
  return [panel for panel in panels if panel.curves], found


def _zero(curve: Curve) -> Curve:
  """Returns a curve of zeros, so that a difference from it is the curve."""
  points = tuple(
    dataclasses.replace(p, values=dict.fromkeys(p.values, 0.0))
    for p in curve.points
  )
  return dataclasses.replace(curve, points=points)
