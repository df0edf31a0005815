"""Runs of one figure on disk -> curves of its variants."""

import collections
import dataclasses
import functools
from collections.abc import Sequence

from etils import epath

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import results, transfers
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.results import ResultsError, Run


@dataclasses.dataclass(frozen=True)
class FigureRun:
  """The workdirs of one figure, their seeds joined.

  Attributes:
    name: of the figure, `config.figure`.
    paths: the workdirs.
    variants: name -> a run of each workdir, in their order.
    overlaps: the lines of overlaps.jsonl.
    magnitudes: variant -> seed -> magnitudes.json of the dense network.
  """

  name: str
  paths: tuple[epath.Path, ...]
  variants: dict[str, list[Run]]
  overlaps: list[dict]
  magnitudes: dict[str, dict[int, dict]]

  def rows(self, variant: str, stage: str) -> list[dict]:
    """Returns the rows of a stage of a variant; none where there is none.

    Their density is that of the layers that pruning may touch.
    """
    return [
      {**row, "density": row.get("density_of_ranked", row["density"])}
      for run in self.variants.get(variant, ())
      for row in run.rows
      if row["stage"] == stage
    ]

  def curve(self, variant: str, init: str, series: str | None = None) -> Curve:
    """Returns accuracy after retraining against remaining weights.

    Args:
      variant: whose masks.
      init: where retraining starts.
      series: what the figure calls it; the variant by default.
    """
    rounds = collections.defaultdict(list)
    for row in self.rows(variant, "retrain"):
      if row["init"] == init and row["metric"] == "accuracy":
        rounds[row["round"]].append(row)
    points = tuple(curves_lib.point(rounds[i]) for i in sorted(rounds))
    return Curve(series or variant, init, points)

  @functools.cached_property
  def transfers(self) -> list[transfers.Transfer]:
    """The transfers of all variants, by what may share axes."""
    return transfers.group(
      row for name in self.variants for row in self.rows(name, results.TRANSFER)
    )

  def natural_sparsity(self, variant: str, threshold: str) -> dict[int, float]:
    """Returns the share of the dense weights at most a threshold, by seed."""
    return {
      seed: found["at_most"][threshold]["count"] / found["remaining"]
      for seed, found in self.magnitudes.get(variant, {}).items()
    }

  @property
  def seeds(self) -> list[int]:
    """All seeds that there are results of."""
    runs = (run for of in self.variants.values() for run in of)
    return sorted({row["seed"] for run in runs for row in run.rows})

  @property
  def config(self) -> dict:
    """The configuration of the first variant."""
    return next(iter(self.variants.values()))[0].config


def variants_of(path: epath.PathLike) -> list[str]:
  """Returns the variants of a workdir; none where it is a plain study."""
  file = epath.Path(path) / "config.json"
  if not file.exists():
    return []
  return list(results.read_json(file)["config"].get("variants", {}))


def read(paths: Sequence[epath.PathLike]) -> list[FigureRun]:
  """Reads the workdirs of figures; those of one figure and set are joined.

  Args:
    paths: the workdirs, each with variants.

  Returns:
    A run a figure and data set, in the order in which they come.

  Raises:
    ResultsError: a missing file, a broken line, a result given twice.
  """
  groups: dict[tuple, list[epath.Path]] = {}
  for path in map(epath.Path, paths):
    config = results.read_json(path / "config.json")["config"]
    key = config.get("figure", ""), config["dataset"]["name"]
    groups.setdefault(key, []).append(path)
  return [_read(name, tuple(of)) for (name, _), of in groups.items()]


def _read(name: str, paths: tuple[epath.Path, ...]) -> FigureRun:
  variants: dict[str, list[Run]] = {}
  for variant in dict.fromkeys(v for path in paths for v in variants_of(path)):
    there = [
      path / variant
      for path in paths
      if (path / variant / "results.jsonl").exists()
    ]
    if there:
      variants[variant] = results.read(there)
  if not variants:
    raise ResultsError(
      f"no results: no variant of {paths[0]} has finished a first stage"
    )
  return FigureRun(
    name,
    paths,
    variants,
    [line for path in paths for line in _lines(path / "overlaps.jsonl")],
    {
      variant: {
        int(file.parts[-4].removeprefix("seed_")): results.read_json(file)
        for run in runs
        for file in run.path.glob("seed_*/*/round_00/magnitudes.json")
      }
      for variant, runs in variants.items()
    },
  )


def _lines(file: epath.Path) -> list[dict]:
  return results.read_json_lines(file) if file.exists() else []
