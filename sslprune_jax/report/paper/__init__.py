"""The paper's figures: what they show, and the statements that they test.

Paper: arXiv 2001.03554. Its figures are pictures without published values, so
what is reproduced is the layout, the protocol and the statements.
"""

import dataclasses
from collections.abc import Callable

from sslprune_jax.report.panels import Drawn
from sslprune_jax.report.paper import masks, sparsity, transfer
from sslprune_jax.report.paper.runs import FigureRun

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
    transfer.frozen,
  ),
  "fig2_when_to_prune": PaperFigure(
    "Figure 2: when to prune",
    "F2",
    "Fine-tuned on VOC07, networks pruned during pre-training are better than "
    "those pruned during transfer.",
    "What fine-tuning of all that remains reaches, against the remaining "
    "prunable weights (logarithmic).",
    "the task of pre-training (colour), when it was pruned (line)",
    transfer.when_to_prune,
  ),
  "fig3_masks": PaperFigure(
    "Figure 3: masks retrained on labels",
    "F3",
    _F3,
    f"{_RETRAINED} {_STARTS} Right: intersection over union with the label "
    "mask of the same seed, and what masks with as many weights in each layer, "
    "drawn at random, share by chance.",
    _MASKS,
    masks.masks,
  ),
  "fig4_depth": PaperFigure(
    "Figure 4: pruning the first layers only",
    "F4",
    _F4,
    f"{_RETRAINED} Weights are those of the layers that are pruned.",
    _THINNED,
    masks.depth,
  ),
  "fig5_few_labels": PaperFigure(
    "Figure 5: few labels",
    "F5",
    "A tenth of the labels alone gives better tickets than RotNet on "
    "everything; S4L is better than both; the effect is larger for a tenth of "
    "the images of each class (a) than for a tenth of the classes (b).",
    f"{_RETRAINED} All are winning tickets but the random masks.",
    "what found the mask (colour), which labels were seen (panel)",
    masks.few_labels,
  ),
  "fig6_natural_sparsity": PaperFigure(
    "Figure 6: natural sparsity",
    "F6",
    _F6,
    _MAGNITUDES,
    "the start (line)",
    sparsity.natural_sparsity,
  ),
  "fig7_rewind": PaperFigure(
    "Figure 7 and table 1: the rewind criterion",
    "T1, F7",
    "Tickets of a tenth of ImageNet's labels are sensitive to where they are "
    "rewound to: to equal epochs, samples, updates, or share of training.",
    _RETRAINED,
    "the criterion of rewinding (colour), the start (panel)",
    masks.rewind,
  ),
  "fig8_architectures": PaperFigure(
    "Figure 8: figure 3 with other networks",
    "F8",
    _F3,
    f"{_RETRAINED} {_STARTS} Right: as in figure 3.",
    _MASKS,
    masks.masks,
  ),
  "fig9_depth_alexnet": PaperFigure(
    "Figure 9: figure 4 with AlexNet",
    "F9",
    _F4,
    f"{_RETRAINED} Weights are those of the layers that are pruned.",
    _THINNED,
    masks.depth,
  ),
  "fig10_natural_sparsity": PaperFigure(
    "Figure 10: figure 6 with other networks",
    "F10",
    _F6,
    _MAGNITUDES,
    "the start (line)",
    sparsity.natural_sparsity,
  ),
}
