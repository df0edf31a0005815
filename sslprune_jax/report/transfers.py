"""Rows of transfers -> curves that may share axes."""

import collections
import dataclasses
from collections.abc import Iterable

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report.curves import Curve, Estimate
from sslprune_jax.report.results import TASKS, rank

RANDOM = "random"  # in place of a task: an untrained network
PROTOCOLS = {
  "linear": "Linear classifier",
  "svm": "Linear SVMs, the VOC07 protocol",
  "knn": "Vote of the nearest neighbours",
  "finetune": "Fine-tuning",
}
PRUNED = {  # the start of a curve: where its mask comes from
  "finetune": "pruned in pre-training",
  "prune": "pruned in transfer",
}
METRICS = {
  "accuracy": "Accuracy",
  "mean_average_precision": "Mean average precision",
}


@dataclasses.dataclass(frozen=True)
class Transfer:
  """One protocol on one target.

  Attributes:
    protocol: of `PROTOCOLS`; pruning during transfer stands with "finetune".
    learnt: data set of pre-training.
    target: name of the data set that is transferred to.
    split: that was evaluated.
    fraction: of the target's training images of each class.
    layer: that was read.
    metric: of `METRICS`.
    model: name of the network.
    curves: a task each and, of fine-tuning, where it was pruned.
    random: of the untrained network, over seeds; None if there is none.
    rows: all of them.
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
  random: Estimate | None
  rows: tuple[dict, ...]

  @property
  def title(self) -> str:
    """Names it: "Fine-tuning on digits, 10 % of its labels"."""
    title = f"{PROTOCOLS.get(self.protocol, self.protocol)} on {self.target}"
    if self.fraction < 1:
      title += f", {100 * self.fraction:g} % of its labels"
    if self.layer != "features":
      title += f", of {self.layer}"
    return title

  @property
  def name(self) -> str:
    """Names its picture."""
    parts = ["transfer", self.protocol, self.target]
    if self.fraction < 1:
      parts.append(f"{self.fraction:g}")
    if self.layer != "features":
      parts.append(self.layer)
    return "_".join(parts).replace("/", "-")


def group(rows: Iterable[dict]) -> list[Transfer]:
  """Groups the rows of transfers by what may share axes.

  Args:
    rows: of stage "transfer", of any runs.

  Returns:
    In the order of `PROTOCOLS`; what is not in `METRICS` is left out.
  """
  groups = collections.defaultdict(list)
  for row in rows:
    if row["metric"] in METRICS:
      protocol = "finetune" if row["protocol"] == "prune" else row["protocol"]
      fields = "learnt target split fraction layer metric model".split()
      groups[protocol, *(row[field] for field in fields)].append(row)
  keys = sorted(groups, key=lambda key: (rank(PROTOCOLS, key[0]), key[1:]))
  return [
    Transfer(*key, _curves(groups[key]), _random(groups[key]), (*groups[key],))
    for key in keys
  ]


def _curves(rows: list[dict]) -> tuple[Curve, ...]:
  cells = collections.defaultdict(lambda: collections.defaultdict(list))
  for row in rows:
    if row["task"] != RANDOM:
      init = row["protocol"] if row["protocol"] in PRUNED else None
      cells[row["task"], init][row["round"]].append(row)
  keys = sorted(
    cells, key=lambda key: (rank(TASKS, key[0]), rank(PRUNED, key[1]))
  )
  return tuple(
    Curve(
      *key, tuple(curves_lib.point(of) for _, of in sorted(cells[key].items()))
    )
    for key in keys
  )


def _random(rows: list[dict]) -> Estimate | None:
  values = [row["value"] for row in rows if row["task"] == RANDOM]
  return curves_lib.estimate(values) if values else None
