"""The paper's figures: their panels, and the statements that they test.

Paper: arXiv 2001.03554. Its figures are pictures without published values, so
what is reproduced is the layout, the protocol and the statements.
"""

import collections
import dataclasses
import statistics
from collections.abc import Callable

from sslprune_jax.report import overlaps, verdicts
from sslprune_jax.report.curves import Curve, Estimate, Point
from sslprune_jax.report.figure_runs import FigureRun
from sslprune_jax.report.figures import percent
from sslprune_jax.report.panels import Histogram, Panel
from sslprune_jax.report.results import INITS, task_name
from sslprune_jax.report.transfers import METRICS, RANDOM, Transfer
from sslprune_jax.report.verdicts import Verdict

_ACCURACY = "Accuracy after retraining (%)"
_PRECISION = "machine_precision"
# Remaining weights: F1 says that features survive down to a tenth, and drop
# under a twentieth.
_TENTH, _TWENTIETH = 0.1, 0.05
_RETRAINED = (
  "Test accuracy after retraining on labels against the remaining prunable "
  "weights (logarithmic)."
)
_STARTS = (
  "Winning ticket: the mask and the weights of update k. Re-init: the same "
  "mask, fresh weights. Random: the mask permuted over the network, fresh "
  "weights. Adjusted random: drawn among the weights that training itself did "
  "not drive to zero, fresh weights. Thin line: the dense network."
)

Drawn = tuple[list[Panel | Histogram], list[Verdict]]


@dataclasses.dataclass(frozen=True)
class PaperFigure:
  """A figure of the paper.

  Attributes:
    title: of the figure.
    ids: of its statements in the paper.
    statement: what the paper found.
    shown: what is drawn.
    varied: between curves and panels.
    draw: makes the panels and the verdicts.
  """

  title: str
  ids: str
  statement: str
  shown: str
  varied: str
  draw: Callable[[FigureRun], Drawn]


def _present(curves) -> tuple[Curve, ...]:
  return tuple(curve for curve in curves if curve.points)


def _dense(curve: Curve) -> Estimate | None:
  return curve.at(0).estimate if curve.at(0) else None


def _remaining(points) -> str:
  """Writes the remaining weights of the first of some points."""
  return f"{percent(points[0].density)} %" if points else "?"


def _natural(run: FigureRun, variant: str) -> float | None:
  """Returns the share that training left alive, where it is not nearly all."""
  shares = run.natural_sparsity(variant, _PRECISION).values()
  share = statistics.fmean(shares) if shares else 0.0
  return 1 - share if share > 0.01 else None


def _masks(run: FigureRun) -> Drawn:
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
      Panel(
        f"{INITS[init].capitalize()}s",
        _ACCURACY,
        _present((*of.values(), *controls)),
        dense=_dense(of["labels"]),
        natural=_natural(run, "labels"),
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
        f"That gap grows from {_remaining(pruned[:1])} to "
        f"{_remaining(pruned[-1:])} remaining",
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


def _depth(run: FigureRun) -> Drawn:
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
      Panel(
        f"{title} ({depth})" if count else "All layers",
        _ACCURACY,
        _present(curves.values()),
        dense=_dense(curves["labels", "rewind"]),
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


def _few_labels(run: FigureRun) -> Drawn:
  """Figure 5: tickets of few labels, alone and with rotations."""
  tickets = {name: run.curve(name, "rewind") for name in _FEW}
  random = run.curve("labels", "random")
  panels, found = [], []
  for few, title in (
    ("few_images", "(a) A tenth of the images"),
    ("few_classes", "(b) A tenth of the classes"),
  ):
    names = ("labels", "rotnet", few, f"s4l_{few}")
    panels.append(
      Panel(
        title,
        _ACCURACY,
        _present((*(tickets[name] for name in names), random)),
        dense=_dense(tickets["labels"]),
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


_FEW = (
  *("labels", "rotnet", "few_images", "few_classes"),
  *("s4l_few_images", "s4l_few_classes"),
)


def _natural_sparsity(run: FigureRun) -> Drawn:
  """Figures 6 and 10: magnitudes before pruning, and what they do to it."""
  shares, exponents = {}, []
  for variant, seeds in run.magnitudes.items():
    rows = []
    for of in seeds.values():
      bins, exponents = of["histogram"], of["histogram"]["exponents"]
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
        {"machine precision": 2.0**-23, "1e-5": 1e-5},
      )
    )
  found = []
  sparse = run.config["dataset"]["name"] != "imagenet2012"
  for variant in run.variants:
    name = task_name(variant)
    inits = ("rewind", "reinit", "random", "adjusted")
    curves = {init: run.curve(variant, init) for init in inits}
    natural = run.natural_sparsity(variant, _PRECISION)
    tickets = curves["rewind"]
    panels.append(
      Panel(
        f"Pruned, masks of {name}",
        _ACCURACY,
        _present(curves.values()),
        dense=_dense(tickets),
        natural=_natural(run, variant),
      )
    )
    claim = f"{name}: of the dense network's weights"
    if not sparse:
      text = f"{claim}, hardly any are zero at machine precision"
      found.append(verdicts.less(text, natural, 0.05))
      continue
    text = f"{claim}, more than half are zero at machine precision"
    found.append(verdicts.greater(text, natural, 0.5))
    alive = 1 - statistics.fmean(natural.values()) if natural else 1.0
    points = [p for p in tickets.points if p.round and p.density >= alive]
    free = [p.round for p in points]
    if free:
      found += [
        verdicts.no_less(
          f"{name}: tickets lose nothing down to {_remaining(points[-1:])} "
          "remaining, where no more is pruned than is zero by itself",
          verdicts.change(tickets, free[-1]),
        ),
        verdicts.greater(
          f"{name}: random masks are worse than those adjusted for it, there",
          verdicts.difference(curves["adjusted"], curves["random"], free),
        ),
      ]
  return panels, found


def _rewind(run: FigureRun) -> Drawn:
  """Figure 7: four criteria of where to rewind to."""
  panels, found = [], []
  for init in ("rewind", "reinit"):
    curves = {name: run.curve(name, init) for name in run.variants}
    panels.append(
      Panel(
        f"{INITS[init].capitalize()}s",
        _ACCURACY,
        _present(curves.values()),
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


def _transfer(run: FigureRun) -> Drawn:
  """Figure 1: frozen features on other data."""
  panels, found = [], []
  for transfer in run.transfers:
    panels.append(_transfer_panel(transfer))
    if transfer.layer != "features":
      continue  # The paper's are the final features.
    for curve in transfer.curves:
      if curve.task == "labels":
        continue
      found += _kept(curve, f"{task_name(curve.task)}, {transfer.title}")
  return panels, found


def _kept(curve: Curve, name: str) -> list[Verdict]:
  early = [p for p in curve.points if p.round and p.density > _TENTH]
  late = [p for p in curve.points if p.density < _TWENTIETH]
  found = []
  if early:
    text = f"{name}: nothing is lost down to {_remaining(early[-1:])} remaining"
    change = verdicts.change(curve, early[-1].round)
    found.append(verdicts.no_less(text, change))
  if late:
    text = f"{name}: it has dropped at {_remaining(late[-1:])} remaining"
    drop = verdicts.change(curve, 0, since=late[-1].round)
    found.append(verdicts.greater(text, drop))
  return found


def _when(run: FigureRun) -> Drawn:
  """Figure 2: pruned in pre-training or in transfer, then fine-tuned."""
  panels, found = [], []
  for transfer in run.transfers:
    panels.append(_transfer_panel(transfer))
    by_key = {(curve.task, curve.init): curve for curve in transfer.curves}
    for task in dict.fromkeys(curve.task for curve in transfer.curves):
      pair = [by_key.get((task, init)) for init in ("finetune", "prune")]
      if all(pair):
        text = f"{task_name(task)}, {transfer.title}: better pruned before"
        found.append(verdicts.greater(text, verdicts.difference(*pair)))
  return panels, found


def _transfer_panel(transfer: Transfer) -> Panel:
  return Panel(
    transfer.title,
    f"{METRICS[transfer.metric]} (%)",
    transfer.curves,
    untrained=transfer.random,
  )


def rows(panels: list[Panel | Histogram]) -> list[dict]:
  """Returns the numbers of panels as rows of a spreadsheet.

  Args:
    panels: of one figure.

  Returns:
    A row a point: `panel, series, start, round, remaining` (share of the
    prunable weights), `mean, standard_error, n` and the `values` of the seeds;
    of a histogram, `exponent` (the bin ends at 10 to it) and `share`.
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
      estimate = point.estimate
      found.append(
        {
          "panel": panel.title,
          "series": curve.task or RANDOM,
          "start": curve.init or "",
          "round": point.round,
          "remaining": point.density,
          "mean": estimate.mean,
          "standard_error": estimate.error,
          "n": estimate.n,
          "values": " ".join(
            f"{seed}:{value:.6g}" for seed, value in point.values.items()
          ),
        }
      )
  return found


_F3 = (
  "Retrained on labels from random re-init, masks found without labels match "
  "label masks. As winning tickets they are clearly below label tickets and "
  "far above random masks, the more so the sparser; label tickets beat label "
  "masks re-initialised, while those found without labels gain little or "
  "nothing."
)
_F4 = (
  "When only the first convolutions are pruned, tickets of Labels and of "
  "RotNet are close; the gap opens with depth."
)
_F6 = (
  "A network trained on CIFAR-10 is already sparse: at machine precision "
  "80.3 % of ResNet-18's weights and 84.5 % of VGG-19's are zero, while "
  "ImageNet's networks are not; so pruning fewer than those says little."
)
_MASKS = "the task that found the mask (colour), the start (line and panel)"
_THINNED = "the depth of pruning (panel), the task (colour), the start (line)"
_MAGNITUDES = (
  "Left: magnitudes of the dense network's prunable weights, in bins of a "
  "quarter decade. " + _RETRAINED + " Upright line: as many weights remain as "
  "training did not drive to zero by itself. " + _STARTS
)
FIGURES = {
  "fig1_transfer": PaperFigure(
    "Figure 1: transfer of frozen features",
    "F1",
    "Linear transfer of the final features survives pruning 90 % of the "
    "weights; features of RotNet and Exemplar even gain a little, those of "
    "NPID stay flat; under 5 % remaining they drop.",
    "What a classifier on frozen features reaches, against the remaining "
    "prunable weights of the pre-trained network (logarithmic). Dotted: a "
    "network before any training.",
    "the task of pre-training (colour), target and layer (panel)",
    _transfer,
  ),
  "fig2_when_to_prune": PaperFigure(
    "Figure 2: when to prune",
    "F2",
    "Fine-tuned on VOC07, networks pruned during pre-training are better than "
    "those pruned during transfer.",
    "What fine-tuning of all that remains reaches, against the remaining "
    "prunable weights (logarithmic).",
    "the task of pre-training (colour), when it was pruned (line)",
    _when,
  ),
  "fig3_masks": PaperFigure(
    "Figure 3: masks retrained on labels",
    "F3",
    _F3,
    f"{_RETRAINED} {_STARTS} Right: intersection over union with the label "
    "mask of the same seed, and what masks with as many weights in each layer, "
    "drawn at random, share by chance.",
    _MASKS,
    _masks,
  ),
  "fig4_depth": PaperFigure(
    "Figure 4: pruning the first layers only",
    "F4",
    _F4,
    f"{_RETRAINED} Weights are those of the layers that are pruned.",
    _THINNED,
    _depth,
  ),
  "fig5_few_labels": PaperFigure(
    "Figure 5: few labels",
    "F5",
    "A tenth of the labels alone gives better tickets than RotNet on "
    "everything; S4L is better than both; the effect is larger for a tenth of "
    "the images of each class (a) than for a tenth of the classes (b).",
    f"{_RETRAINED} All are winning tickets but the random masks.",
    "what found the mask (colour), which labels were seen (panel)",
    _few_labels,
  ),
  "fig6_natural_sparsity": PaperFigure(
    "Figure 6: natural sparsity",
    "F6",
    _F6,
    _MAGNITUDES,
    "the start (line)",
    _natural_sparsity,
  ),
  "fig7_rewind": PaperFigure(
    "Figure 7 and table 1: the rewind criterion",
    "T1, F7",
    "Tickets of a tenth of ImageNet's labels are sensitive to where they are "
    "rewound to: to equal epochs, samples, updates, or share of training.",
    _RETRAINED,
    "the criterion of rewinding (colour), the start (panel)",
    _rewind,
  ),
  "fig8_architectures": PaperFigure(
    "Figure 8: figure 3 with other networks",
    "F8",
    _F3,
    f"{_RETRAINED} {_STARTS} Right: as in figure 3.",
    _MASKS,
    _masks,
  ),
  "fig9_depth_alexnet": PaperFigure(
    "Figure 9: figure 4 with AlexNet",
    "F9",
    _F4,
    f"{_RETRAINED} Weights are those of the layers that are pruned.",
    _THINNED,
    _depth,
  ),
  "fig10_natural_sparsity": PaperFigure(
    "Figure 10: figure 6 with other networks",
    "F10",
    _F6,
    _MAGNITUDES,
    "the start (line)",
    _natural_sparsity,
  ),
}
