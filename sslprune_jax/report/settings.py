"""Runs -> what may share axes: one data set, one split, one network."""

import collections
import dataclasses
from collections.abc import Iterable

from sslprune_jax import workdir
from sslprune_jax.report.results import Run


@dataclasses.dataclass(frozen=True)
class Setting:
  """Results that may share axes: one data set, one split, one network.

  A task without an answer for new images (DeepCluster) is scored on training
  images. Its rows stand with those of its masks, retrained and tested.
  """

  dataset: str
  split: str
  model: str
  rows: list[dict]
  sparsity: list[dict]


def join(runs: Iterable[Run]) -> list[Setting]:
  """Joins runs, and parts what must not share axes.

  Args:
    runs: runs of one page.

  Returns:
    Settings with results of a study itself, in the order in which they come.
  """
  rows = collections.defaultdict(list)
  sparsity = collections.defaultdict(list)
  for run in runs:
    stages = workdir.PRETEXT, workdir.RETRAIN
    own = [row for row in run.rows if row["stage"] in stages]
    tested = {row["split"] for row in own if row["stage"] == workdir.RETRAIN}
    keys = set()
    for row in own:
      split = next(iter(tested)) if len(tested) == 1 else row["split"]
      key = row["dataset"], split, row["model"]
      keys.add(key)
      rows[key].append(row)
    for key in keys:
      sparsity[key] += run.sparsity
  return [Setting(*key, rows[key], sparsity[key]) for key in rows]
