"""Size against quality of what a study made of a network that was brought.

The smallest network that is nearly as good as the dense one is chosen on images
held out of the training images, and shown by its quality on the test images.
"""

import collections
import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from sslprune_jax.report.names import METRICS
from sslprune_jax.report.results import Run
from sslprune_jax.workdir import FOR_CHOICE, TRAINED, TRANSFER, UNTRAINED, Stage

WITHIN = (0.01, 0.02)  # of the dense network's quality: 1 and 2 points
_LEVEL = 0.95

Measure = tuple[str, str, str, str]  # protocol, target, layer and metric


@dataclasses.dataclass(frozen=True)
class Size:
  """One network of a task: what it takes, and what it gives.

  Attributes:
    round: round of pruning.
    density: share of the prunable weights that remain.
    kept: number of them, the mean over seeds.
    bytes: size of its file, likewise; None where it is not there.
    multiply_adds: share of the dense network's that remains.
    quality: measure -> seed -> value on the test images.
    choice: measure -> seed -> value on the images that it is chosen by.
    images: measure -> number of test images.
  """

  round: int
  density: float
  kept: float
  bytes: float | None
  multiply_adds: float | None
  quality: dict[Measure, dict[int, float]]
  choice: dict[Measure, dict[int, float]]
  images: dict[Measure, int]


@dataclasses.dataclass(frozen=True)
class Chosen:
  """The smallest network within some points of the dense one.

  Attributes:
    measure: what it is chosen by.
    within: points that it may lose, as a share of 1.
    size: the network.
    value: its quality on the test images.
    difference: the same, less that of the dense network.
    error: half of the 95 % interval of the difference; None where it has none.
  """

  measure: Measure
  within: float
  size: Size
  value: float
  difference: float
  error: float | None


def collect(run: Run) -> dict[str, list[Size]]:
  """Collects the networks of a run that started from a file.

  Args:
    run: workdir of a study.

  Returns:
    Task -> its networks, dense first; {} of a study whose network was drawn,
    or that judged none.
  """
  if not run.config.get("start"):
    return {}
  cells = collections.defaultdict(list)
  for row in judgements(run):
    if row["task"] != UNTRAINED:
      cells[row["task"], row["round"]].append(row)
  found = collections.defaultdict(list)
  for task, index in sorted(cells):
    found[task].append(_size(run, task, index, cells[task, index]))
  return {task: sizes for task, sizes in found.items() if sizes[0].round == 0}


def judgements(run: Run) -> list[dict]:
  """Returns the rows that judge what a run made, by all labels there are.

  Args:
    run: workdir of a study.
  """
  return [
    row
    for row in run.rows
    if row["stage"] == TRANSFER
    and row["protocol"] != "prune"
    and row["fraction"] == 1
  ]


def _size(run: Run, task: str, index: int, rows: Sequence[dict]) -> Size:
  quality, choice = (collections.defaultdict(dict) for _ in range(2))
  images = {}
  for row in rows:
    metric = row["metric"].removesuffix(FOR_CHOICE)
    if metric not in METRICS:
      continue
    measure = row["protocol"], row["target"], row["layer"], metric
    to_choose = row["metric"].endswith(FOR_CHOICE)
    (choice if to_choose else quality)[measure][row["seed"]] = row["value"]
    images[measure] = row["n"]
  seeds = {row["seed"] for row in rows}
  files = [run.path / Stage(seed, task, index).path / TRAINED for seed in seeds]
  sizes = [file.stat().length for file in files if file.exists()]
  left = [
    _multiply_adds(each)
    for each in run.sparsity
    if (each["task"], each["round"]) == (task, index)
    and all("uses" in layer for layer in each["layers"])  # Not of old.
  ]
  return Size(
    index,
    statistics.fmean(row["density"] for row in rows),
    statistics.fmean(row["kept"] for row in rows),
    statistics.fmean(sizes) if sizes else None,
    statistics.fmean(left) if left else None,
    dict(quality),
    dict(choice),
    images,
  )


def _multiply_adds(sparsity: dict) -> float:
  """Returns the share of a network's multiply-adds that remains."""
  kept, total = (
    sum(layer[count] * layer["uses"] for layer in sparsity["layers"])
    for count in ("kept", "total")
  )
  return kept / total


def choose(sizes: Sequence[Size]) -> list[Chosen]:
  """Chooses the smallest networks that are nearly as good as the dense one.

  Args:
    sizes: networks of a task, dense first.

  Returns:
    For every measure that has images to choose by, one a distance of `WITHIN`,
    of the sizes that all seeds of the dense network have.
  """
  dense, found = sizes[0], []
  for measure, values in dense.choice.items():
    least = statistics.fmean(values.values())
    for within in WITHIN:
      good = [
        size
        for size in sizes
        if size.choice.get(measure, {}).keys() >= values.keys()
        and statistics.fmean(size.choice[measure].values()) >= least - within
      ]
      size = min(good, key=lambda size: size.density)
      found.append(_chosen(measure, within, size, dense))
  return found


def _chosen(measure: Measure, within: float, size: Size, dense: Size) -> Chosen:
  own, whole = size.quality[measure], dense.quality[measure]
  value = statistics.fmean(own.values())
  seeds = sorted(own.keys() & whole.keys())
  differences = [own[seed] - whole[seed] for seed in seeds]
  error = None
  if size is dense:
    error = 0.0
  elif len(differences) > 1:  # Each against its own dense network.
    error = _over_seeds(differences)
  elif measure[-1] == "accuracy":
    both = value, statistics.fmean(whole.values())
    error = _over_images(both, size.images[measure])
  difference = statistics.fmean(differences)
  return Chosen(measure, within, size, value, difference, error)


def _over_seeds(differences: Sequence[float]) -> float:
  """Returns half of the t interval of a mean."""
  from scipy import stats  # Takes half a second, for such studies alone.

  spread = statistics.stdev(differences) / math.sqrt(len(differences))
  return float(stats.t.ppf((1 + _LEVEL) / 2, len(differences) - 1)) * spread


def _over_images(shares: Iterable[float], images: int) -> float:
  """Returns half of the normal interval of a difference of two shares.

  As if two networks erred apart, which makes it too wide, if anything.
  """
  variance = math.fsum(share * (1 - share) for share in shares) / images
  return statistics.NormalDist().inv_cdf((1 + _LEVEL) / 2) * math.sqrt(variance)
