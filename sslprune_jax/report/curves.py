"""Rows -> means over seeds, their standard errors, and curves of them."""

import collections
import dataclasses
import math
import statistics
from collections.abc import Iterable

from sslprune_jax.report.names import INITS, rank, rank_task
from sslprune_jax.report.records import ResultsError
from sslprune_jax.workdir import COST


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean with its standard error, s / sqrt(n); None where n is 1."""

  mean: float
  error: float | None
  n: int


@dataclasses.dataclass(frozen=True)
class Point:
  """One place of a curve.

  Attributes:
    round: round of pruning.
    density: share of the prunable weights that remain, in (0, 1].
    density_of_all: share of all parameters that remain, in (0, 1].
    values: seed -> accuracy in [0, 1].
    tested: images that each was tested on; None where it is no share of them.
    multiply_adds: share of the trunk's that remains, in (0, 1], where channels
      were pruned; None of weights.
  """

  round: int
  density: float
  density_of_all: float
  values: dict[int, float]
  tested: int | None = None
  multiply_adds: float | None = None

  @property
  def remaining(self) -> float:
    """What stands on the axis of `axis_of`, in (0, 1]."""
    if self.multiply_adds is None:
      return self.density
    return self.multiply_adds

  @property
  def estimate(self) -> Estimate:
    """The mean over seeds."""
    return estimate(self.values.values())


@dataclasses.dataclass(frozen=True)
class Curve:
  """Points of one task and start.

  Attributes:
    task: name of the task, or of another series; None: pooled over tasks.
    init: start of the curve, see `names`; None where there is one start only.
    points: points in the order of rounds.
  """

  task: str | None
  init: str | None
  points: tuple[Point, ...]

  def at(self, index: int) -> Point | None:
    """Returns the point of a round, or None."""
    return next((p for p in self.points if p.round == index), None)


def axis_of(curves: Iterable[Curve]) -> str:
  """Names what curves are drawn against: multiply-adds, if channels went."""
  points = (point for curve in curves for point in curve.points)
  if any(point.multiply_adds is not None for point in points):
    return "multiply-adds"
  return "prunable weights"


def find_dense(curves: Iterable[Curve]) -> Curve | None:
  """Returns the first winning ticket that has its dense network, or None."""
  tickets = (curve for curve in curves if curve.init == "rewind")
  return next((curve for curve in tickets if curve.at(0)), None)


def estimate(values: Iterable[float]) -> Estimate:
  """Returns mean, standard error (ddof = 1) and n of some values."""
  values = list(values)
  n = len(values)
  error = statistics.stdev(values) / math.sqrt(n) if n > 1 else None
  return Estimate(statistics.fmean(values), error, n)


def paired_difference(a: Point, b: Point) -> Estimate | None:
  """Estimates a - b over the seeds that both have; None if there is none."""
  seeds = a.values.keys() & b.values.keys()
  if not seeds:
    return None
  return estimate(a.values[seed] - b.values[seed] for seed in sorted(seeds))


def group(rows: Iterable[dict], stage: str) -> list[Curve]:
  """Groups the accuracies of a stage by task and start.

  A permuted mask keeps nothing of the task that found it. So "random" is one
  curve: the mean over tasks within a seed, and only then over seeds.

  Args:
    rows: results of one setting.
    stage: `workdir.PRETEXT` or `workdir.RETRAIN`.

  Returns:
    Curves in the order of `rank_task` and `INITS`; the pooled one comes last.
  """
  cells = {}
  for row in rows:
    if row["stage"] == stage and row["metric"] == "accuracy":
      task = None if row["init"] == "random" else row["task"]
      rounds = cells.setdefault((task, row["init"]), {})
      rounds.setdefault(row["round"], []).append(row)

  def order(key):
    task, init = key
    return task is None, rank_task(task), rank(INITS, init)

  return [
    Curve(*key, tuple(point(cells[key][i]) for i in sorted(cells[key])))
    for key in sorted(cells, key=order)
  ]


def layer_densities(
  sparsity: Iterable[dict],
) -> dict[str, list[tuple[float, dict[str, float]]]]:
  """Averages the density of every layer over seeds.

  Args:
    sparsity: contents of sparsity.json of tasks, seeds and rounds.

  Returns:
    task -> [(density, {layer path: density})], a pair a round, in order.
  """
  groups = collections.defaultdict(lambda: collections.defaultdict(list))
  for entry in sparsity:
    groups[entry["task"]][entry["round"]].append(entry)
  means = {}
  for task in sorted(groups, key=rank_task):
    means[task] = []
    for _, entries in sorted(groups[task].items()):
      layers = collections.defaultdict(list)
      for layer in (layer for entry in entries for layer in entry["layers"]):
        layers[layer["path"]].append(layer["kept"] / layer["total"])
      density = statistics.fmean(e["kept"] / e["prunable"] for e in entries)
      mean = {path: statistics.fmean(kept) for path, kept in layers.items()}
      means[task].append((density, mean))
  return means


def point(rows: list[dict]) -> Point:
  """Joins the rows of one round: a mean within each seed; see `results.read`.

  Args:
    rows: results of one task, start and round, at least one.

  Raises:
    ResultsError: their densities differ, of weights.
  """
  first = rows[0]
  for row in rows:
    is_same = math.isclose(row["density"], first["density"], rel_tol=0.01)
    # Channels go by blocks, of as many weights as their layer's has.
    if not is_same and row.get("structure") != "channels":
      raise ResultsError(
        f"round {row['round']} keeps {first['density']:.3%} of the weights in "
        f"run {first['run']} and {row['density']:.3%} in run {row['run']}: "
        "other rounds, so give each run a page of its own"
      )
  seeds = collections.defaultdict(list)
  for row in rows:
    seeds[row["seed"]].append(row["value"])
  costs = [row[COST] for row in rows if COST in row]
  return Point(
    round=first["round"],
    density=statistics.fmean(row["density"] for row in rows),
    density_of_all=statistics.fmean(row["density_of_all"] for row in rows),
    values={seed: statistics.fmean(seeds[seed]) for seed in sorted(seeds)},
    tested=first.get("n") if first["metric"] == "accuracy" else None,
    multiply_adds=statistics.fmean(costs) if costs else None,
  )
