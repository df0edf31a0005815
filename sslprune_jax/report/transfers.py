"""Rows of transfers -> curves that may share axes."""

import collections
import dataclasses
from collections.abc import Iterable

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import words
from sslprune_jax.report.curves import Curve, Estimate
from sslprune_jax.report.names import (
  METRICS,
  PROTOCOLS,
  PRUNED,
  rank,
  rank_task,
)
from sslprune_jax.workdir import UNTRAINED


@dataclasses.dataclass(frozen=True)
class TransferCurves:
  """What one protocol finds on one target.

  Attributes:
    protocol: name on disk; pruning during transfer stands with "finetune".
    learnt: data set of pre-training.
    target: name of the data set that is transferred to.
    split: split that was evaluated.
    fraction: share of the target's training images of each class, in (0, 1].
    layer: layer that was read.
    metric: one of `METRICS`.
    model: name of the network.
    curves: one curve a task and, of fine-tuning, a time of pruning.
    untrained: value of the untrained network, over seeds; None if none is.
    rows: results that all of this comes from.
  """

  protocol: str
  learnt: str
  target: str
  split: str
  fraction: float
  layer: str
  metric: str
  model: str
  curves: tuple[Curve, ...]
  untrained: Estimate | None
  rows: tuple[dict, ...]

  @property
  def title(self) -> str:
    """Names it: "Fine-tuning on digits, 10 % of its labels"."""
    label = self.rows[0].get("protocol_label", self.protocol)
    title = f"{PROTOCOLS.get(self.protocol, label)} on {self.target}"
    if self.fraction < 1:
      title += f", {100 * self.fraction:g} % of its labels"
    if self.layer != "features":
      title += f", of {self.layer}"
    return title

  @property
  def name(self) -> str:
    """Names its picture."""
    parts = ["transfer", self.protocol, self.target]
    # It has two metrics; one of a plug-in may.
    if self.protocol == "fidelity" or self.protocol not in PROTOCOLS:
      parts.append(self.metric)
    if self.fraction < 1:
      parts.append(f"{self.fraction:g}")
    if self.layer != "features":
      parts.append(self.layer)
    return words.file_name(*parts)


def group(rows: Iterable[dict]) -> list[TransferCurves]:
  """Groups the rows of transfers by what may share axes.

  Args:
    rows: results of stage "transfer", from any runs.

  Returns:
    In the order of `PROTOCOLS`; what is not in `METRICS` is left out.
  """
  groups = collections.defaultdict(list)
  for row in rows:
    if row["metric"] in METRICS:
      pruned = row["protocol"] == "prune"
      fields = "learnt target split fraction layer metric model".split()
      key = (row[field] for field in fields)
      groups["finetune" if pruned else row["protocol"], *key].append(row)
  keys = sorted(groups, key=lambda key: (rank(PROTOCOLS, key[0]), key[1:]))
  return [
    TransferCurves(
      *key,
      _curves(groups[key]),
      _estimate_untrained(groups[key]),
      (*groups[key],),
    )
    for key in keys
  ]


def _curves(rows: list[dict]) -> tuple[Curve, ...]:
  cells = collections.defaultdict(lambda: collections.defaultdict(list))
  for row in rows:
    if row["task"] != UNTRAINED:
      init = row["protocol"] if row["protocol"] in PRUNED else None
      cells[row["task"], init][row["round"]].append(row)
  curves = []
  for (task, init), rounds in cells.items():
    points = [curves_lib.point(rounds[index]) for index in sorted(rounds)]
    curves.append(Curve(task, init, tuple(points)))
  curves.sort(key=lambda c: (rank_task(c.task), rank(PRUNED, c.init)))
  return tuple(curves)


def _estimate_untrained(rows: list[dict]) -> Estimate | None:
  values = [row["value"] for row in rows if row["task"] == UNTRAINED]
  return curves_lib.estimate(values) if values else None
