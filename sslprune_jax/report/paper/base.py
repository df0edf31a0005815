"""What a figure of the paper is: its text, what it draws, what it tests.

Paper: arXiv 2001.03554. Its figures are pictures without published values, so
what is reproduced is the layout, the protocol and the statements.
"""

import dataclasses
from collections.abc import Callable

from sslprune_jax.report.panels import Histogram, Panel
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.tables import Table
from sslprune_jax.report.verdicts import Verdict

# What a figure shows, and what its numbers say.
Drawn = tuple[list[Panel | Histogram], list[Verdict]]

RETRAINED = (
  "Test accuracy after retraining on labels against the remaining prunable "
  "weights (logarithmic)."
)
STARTS = (
  "Winning ticket: the mask and the weights of update k. Re-init: the same "
  "mask, fresh weights. Random: the mask permuted over the network, fresh "
  "weights. Adjusted random: drawn among the weights that training itself did "
  "not drive to zero, fresh weights. Thin line: the dense network."
)


@dataclasses.dataclass(frozen=True)
class PaperFigure:
  """A figure of the paper.

  Attributes:
    title: its number, and what it is about.
    ids: names of its statements in the paper.
    statement: what the paper found.
    shown: what is drawn.
    varied: what differs between curves and panels.
    draw: function that makes the panels and the verdicts.
    table: function that makes a table beside the picture; None without one.
    tabulated: what the table shows.
  """

  title: str
  ids: str
  statement: str
  shown: str
  varied: str
  draw: Callable[[FigureRun], Drawn]
  table: Callable[[FigureRun], Table] | None = None
  tabulated: str = ""
