"""Figures 4 and 9 of the paper: only the first layers are pruned."""

from sslprune_jax.report import gaps, verdicts
from sslprune_jax.report.panels import retraining_panel
from sslprune_jax.report.paper import grounds
from sslprune_jax.report.paper.base import RETRAINED, Drawn, PaperFigure
from sslprune_jax.report.paper.runs import FigureRun

_F4 = (
  "When only the first convolutions are pruned, tickets of Labels and of "
  "RotNet are close; the gap opens with depth."
)
_THINNED = "the depth of pruning (panel), the task (colour), the start (line)"


def draw_depths(run: FigureRun) -> Drawn:
  """Draws a panel a depth, and judges how the gap opens.

  Args:
    run: run with variants such as "labels_stage2" and "rotnet_stage2".
  """
  layers = {
    name.removeprefix("labels_"): runs[0].config["prune"]["first_layers"]
    for name, runs in run.variants.items()
    if name.startswith("labels_")
  }
  depths = sorted(layers, key=lambda depth: layers[depth] or 10**9)
  drawn, found, tickets = [], [], {}
  for depth in depths:
    curves = {
      (task, init): run.curve(f"{task}_{depth}", init, task)
      for task in ("labels", "rotnet")
      for init in ("rewind", "reinit")
    }
    curves["labels", "random"] = run.curve(
      f"labels_{depth}", "random", "labels"
    )
    count = layers[depth]
    title = f"First {count} layers" if count > 1 else "First layer"
    drawn.append(
      retraining_panel(
        f"{title} ({depth})" if count else "All layers",
        curves.values(),
        dense=curves["labels", "rewind"],
      )
    )
    tickets[depth] = curves["labels", "rewind"], curves["rotnet", "rewind"]
  if len(depths) > 1 and not layers[depths[-1]]:  # Everywhere is the last.
    first, last = depths[0], depths[-1]
    rounds = gaps.shared_rounds([*tickets[first], *tickets[last]])
    apart = {
      depth: gaps.difference(*tickets[depth], rounds) for depth in (first, last)
    }
    found = [
      verdicts.equal(
        f"Pruned to {first} only, tickets of Labels and RotNet are close",
        apart[first],
      ),
      verdicts.greater(
        "Pruned everywhere, tickets of Labels are above RotNet's", apart[last]
      ),
      verdicts.greater(
        f"The gap is larger for all layers than for {first}",
        gaps.minus(apart[last], apart[first]),
      ),
    ]
  return drawn, verdicts.unless(
    grounds.against_tasks(run, *run.variants), found
  )


FIGURES = {
  "fig4_depth": PaperFigure(
    title="Figure 4: pruning the first layers only",
    ids="F4",
    statement=_F4,
    shown=f"{RETRAINED} Weights are those of the layers that are pruned.",
    varied=_THINNED,
    draw=draw_depths,
  ),
  "fig9_depth_alexnet": PaperFigure(
    title="Figure 9: figure 4 with AlexNet",
    ids="F9",
    statement=_F4,
    shown=f"{RETRAINED} Weights are those of the layers that are pruned.",
    varied=_THINNED,
    draw=draw_depths,
  ),
}
