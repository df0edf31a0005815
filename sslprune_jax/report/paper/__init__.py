"""The paper's figures, by the name that `config.figure` gives them."""

from sslprune_jax.report.paper import (
  depth,
  few_labels,
  masks,
  rewind,
  sparsity,
  transfer,
)
from sslprune_jax.report.paper.base import PaperFigure

FIGURES: dict[str, PaperFigure] = (
  transfer.FIGURES
  | masks.FIGURES
  | depth.FIGURES
  | few_labels.FIGURES
  | sparsity.FIGURES
  | rewind.FIGURES
)
