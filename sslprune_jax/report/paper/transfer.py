"""Figures 1 and 2 of the paper: what pruned networks are worth elsewhere."""

from sslprune_jax.report import gaps, verdicts
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.panels import transfer_panel
from sslprune_jax.report.paper import grounds
from sslprune_jax.report.paper.base import Drawn, PaperFigure
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.verdicts import Verdict
from sslprune_jax.report.words import write_remaining

# Remaining weights: F1 says that features survive down to a tenth, and drop
# under a twentieth.
_TENTH, _TWENTIETH = 0.1, 0.05


def draw_frozen(run: FigureRun) -> Drawn:
  """Draws frozen features on other data, and judges what pruning costs.

  Args:
    run: run with transfers of frozen features.
  """
  drawn, found = [], []
  for transfer in run.transfers:
    drawn.append(transfer_panel(transfer.title, transfer))
    if transfer.layer != "features":
      continue  # The paper's are the final features.
    for curve in transfer.curves:
      if curve.task != "labels":
        name = run.names.label(curve.task)
        found += verdicts.unless(
          grounds.against_features(transfer, curve),
          _judge(curve, f"{name}, {transfer.title}"),
        )
  return drawn, found


def _judge(curve: Curve, name: str) -> list[Verdict]:
  """Judges that features survive at first, and drop at last."""
  early = [p for p in curve.points if p.round and p.density > _TENTH]
  late = [p for p in curve.points if p.density < _TWENTIETH]
  found = []
  if early:
    text = (
      f"{name}: nothing is lost down to {write_remaining(early[-1:])} remaining"
    )
    change = gaps.change(curve, early[-1].round)
    found.append(verdicts.no_less(text, change))
  if late:
    text = f"{name}: it has dropped at {write_remaining(late[-1:])} remaining"
    drop = gaps.change(curve, 0, since=late[-1].round)
    found.append(verdicts.greater(text, drop))
  return found


def draw_when_to_prune(run: FigureRun) -> Drawn:
  """Draws pruning before and during transfer, and judges which is better.

  Args:
    run: run with fine-tuning of both.
  """
  drawn, found = [], []
  for transfer in run.transfers:
    drawn.append(transfer_panel(transfer.title, transfer))
    by_key = {(curve.task, curve.init): curve for curve in transfer.curves}
    for task in dict.fromkeys(curve.task for curve in transfer.curves):
      pair = [by_key.get((task, init)) for init in ("finetune", "prune")]
      if all(pair):
        name = run.names.label(task)
        text = f"{name}, {transfer.title}: better pruned before"
        found += verdicts.unless(
          grounds.against_features(transfer, pair[0]),
          [verdicts.greater(text, gaps.difference(*pair))],
        )
  return drawn, found


FIGURES = {
  "fig1_transfer": PaperFigure(
    title="Figure 1: transfer of frozen features",
    ids="F1",
    statement=(
      "Linear transfer of the final features survives pruning 90 % of the "
      "weights; features of RotNet and Exemplar even gain a little, those of "
      "NPID stay flat; under 5 % remaining they drop."
    ),
    shown=(
      "What a classifier on frozen features reaches, against the remaining "
      "prunable weights of the pre-trained network (logarithmic). Dotted: a "
      "network before any training."
    ),
    varied="the task of pre-training (colour), target and layer (panel)",
    draw=draw_frozen,
  ),
  "fig2_when_to_prune": PaperFigure(
    title="Figure 2: when to prune",
    ids="F2",
    statement=(
      "Fine-tuned on VOC07, networks pruned during pre-training are better "
      "than those pruned during transfer."
    ),
    shown=(
      "What fine-tuning of all that remains reaches, against the remaining "
      "prunable weights (logarithmic)."
    ),
    varied="the task of pre-training (colour), when it was pruned (line)",
    draw=draw_when_to_prune,
  ),
}
