"""Figure 5 of the paper: masks found with few labels."""

from sslprune_jax.report import gaps, verdicts
from sslprune_jax.report.panels import retraining_panel
from sslprune_jax.report.paper import grounds
from sslprune_jax.report.paper.base import RETRAINED, Drawn, PaperFigure
from sslprune_jax.report.paper.runs import FigureRun

_FEW = (
  *("labels", "rotnet", "few_images", "few_classes"),
  *("s4l_few_images", "s4l_few_classes"),
)


def draw_few_labels(run: FigureRun) -> Drawn:
  """Draws tickets of few labels, alone and with rotations, and judges them.

  Args:
    run: run with variants such as `_FEW`.
  """
  tickets = {name: run.curve(name, "rewind") for name in _FEW}
  random = run.curve("labels", "random")
  drawn, claims = [], []
  for few, title in (
    ("few_images", "(a) Few images of each class"),
    ("few_classes", "(b) Images of few classes"),
  ):
    with_s4l = f"s4l_{few}"
    names = ("labels", "rotnet", few, with_s4l)
    drawn.append(
      retraining_panel(
        title,
        (*(tickets[name] for name in names), random),
        dense=tickets["labels"],
      )
    )
    label, both = run.names.label(few), run.names.label(with_s4l)
    claims += [
      (f"{label}: its tickets are above RotNet's on everything", few, "rotnet"),
      (f"{both}: its tickets are above those of few labels", with_s4l, few),
      (f"{both}: its tickets are above RotNet's", with_s4l, "rotnet"),
    ]
  text = "Few labels gain more over RotNet per class (a) than of classes (b)"
  claims.append((text, "few_images", "few_classes"))
  found = []
  for text, above, below in claims:
    gap = gaps.difference(tickets[above], tickets[below])
    found += verdicts.unless(
      grounds.against_tasks(run, above, below), [verdicts.greater(text, gap)]
    )
  return drawn, found


FIGURES = {
  "fig5_few_labels": PaperFigure(
    title="Figure 5: few labels",
    ids="F5",
    statement=(
      "A tenth of the labels alone gives better tickets than RotNet on "
      "everything; S4L is better than both; the effect is larger for a tenth "
      "of the images of each class (a) than for a tenth of the classes (b)."
    ),
    shown=f"{RETRAINED} All are winning tickets but the random masks.",
    varied="what found the mask (colour), which labels were seen (panel)",
    draw=draw_few_labels,
  ),
}
