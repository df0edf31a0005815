"""Runs of one figure on disk -> curves of its variants."""

import collections
import dataclasses
import functools
import re
import statistics
from collections.abc import Callable, Collection, Iterable, Sequence

from absl import logging
from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import forms, records, results, transfers
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.names import LIKELIHOOD, Names
from sslprune_jax.report.paper import joining
from sslprune_jax.report.records import ResultsError
from sslprune_jax.report.results import Run
from sslprune_jax.runtime import digests

MACHINE_PRECISION = "machine_precision"  # a threshold of magnitudes.json


@dataclasses.dataclass(frozen=True)
class FigureRun:
  """The workdirs of one figure, their seeds joined.

  Attributes:
    name: name of the figure, `config.figure`; maybe none of the paper's.
    paths: workdirs, in the order given.
    variants: name -> a run of each workdir, in their order.
    overlaps: lines of overlaps.jsonl.
    magnitudes: variant -> seed -> magnitudes.json of the dense network.
    names: labels and colours of tasks and variants.
    metric: metric of retraining that curves are of.
    left_out: sentences on what could not be read, or not be joined.
  """

  name: str
  paths: tuple[epath.Path, ...]
  variants: dict[str, list[Run]]
  overlaps: list[dict]
  magnitudes: dict[str, dict[int, dict]]
  names: Names
  metric: str = "accuracy"
  left_out: list[str] = dataclasses.field(default_factory=list)

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
    """Returns what retraining reaches against remaining weights.

    Args:
      variant: name of the variant whose masks are retrained.
      init: start of retraining.
      series: name of the curve in the figure; the variant by default.
    """
    rounds = collections.defaultdict(list)
    for row in self.rows(variant, workdir.RETRAIN):
      if row["init"] == init and row["metric"] == self.metric:
        rounds[row["round"]].append(row)
    points = tuple(curves_lib.point(rounds[i]) for i in sorted(rounds))
    return Curve(series or variant, init, points)

  @functools.cached_property
  def transfers(self) -> list[transfers.TransferCurves]:
    """The transfers of all variants, by what may share axes."""
    return transfers.group(
      row
      for variant in self.variants
      for row in self.rows(variant, workdir.TRANSFER)
    )

  def natural_sparsity(self, variant: str, threshold: str) -> dict[int, float]:
    """Returns the share of the dense weights that are nearly zero, by seed.

    Args:
      variant: name of the variant.
      threshold: name of a magnitude in magnitudes.json.

    Returns:
      seed -> share in [0, 1] whose magnitude is at most the threshold.
    """
    return {
      seed: found["at_most"][threshold]["count"] / found["remaining"]
      for seed, found in self.magnitudes.get(variant, {}).items()
    }

  def alive_share(self, variant: str) -> float | None:
    """Returns the share of the dense weights that training left alive.

    Args:
      variant: name of the variant.

    Returns:
      The mean over seeds, in (0, 1); None where nearly all are alive.
    """
    zero = self.natural_sparsity(variant, MACHINE_PRECISION).values()
    share = statistics.fmean(zero) if zero else 0.0
    return 1 - share if share > 0.01 else None

  def only(self, seeds: Collection[int]) -> "FigureRun":
    """Returns the run as if it were of some of its seeds alone."""

    def of(lines: Iterable[dict]) -> list[dict]:
      return [line for line in lines if line["seed"] in seeds]

    magnitudes = {
      name: {seed: found for seed, found in own.items() if seed in seeds}
      for name, own in self.magnitudes.items()
    }
    return dataclasses.replace(
      self._map_rows(of), overlaps=of(self.overlaps), magnitudes=magnitudes
    )

  def of_losses(self) -> "FigureRun":
    """Returns the run with log-likelihoods, minus its losses, in nats.

    So a difference is above 0 where one of accuracies is: the first is better.
    """

    def of(rows: Iterable[dict]) -> list[dict]:
      return [
        {**row, "metric": LIKELIHOOD, "value": -row["value"]}
        for row in rows
        if row["metric"] == "loss"
      ]

    return dataclasses.replace(self._map_rows(of), metric=LIKELIHOOD)

  def _map_rows(
    self, change: Callable[[list[dict]], list[dict]]
  ) -> "FigureRun":
    variants = {
      name: [dataclasses.replace(run, rows=change(run.rows)) for run in runs]
      for name, runs in self.variants.items()
    }
    return dataclasses.replace(self, variants=variants)

  @property
  def seeds(self) -> list[int]:
    """All seeds that there are results of."""
    runs = (run for same in self.variants.values() for run in same)
    return sorted({row["seed"] for run in runs for row in run.rows})

  @property
  def config(self) -> dict:
    """The configuration of the first variant."""
    return next(iter(self.variants.values()))[0].config


def read(paths: Sequence[epath.PathLike]) -> list[FigureRun]:
  """Reads the workdirs of figures; those of one figure and set are joined.

  Args:
    paths: workdirs, each with variants. What is of another study than the first
      of its figure is left out, and said.

  Returns:
    A run a figure and data set, by the numbers of the figures and else in the
    order in which they come; those that have not begun are left out, and said.

  Raises:
    ResultsError: a missing file, a broken line, a result given twice; or none
      has begun.
  """
  groups: dict[tuple[str, str], list[epath.Path]] = {}
  for path in map(epath.Path, paths):
    config = records.read_config(path / workdir.CONFIG)["config"]
    dataset = config.get("dataset", {}).get("name", "data")
    key = config.get("figure", ""), dataset
    groups.setdefault(key, []).append(path)
  every = [
    _read(name, groups[name, dataset])
    for name, dataset in sorted(groups, key=_number)
  ]
  empty = [
    f"no variant of {run.paths[0]} has finished a first stage"
    for run in every
    if not run.variants
  ]
  if empty and len(empty) == len(every):
    raise ResultsError(f"no results: {empty[0]}")
  for words in empty:
    logging.warning("left out: %s", words)
  return [run for run in every if run.variants]


def _number(key: tuple[str, str]) -> int:
  """Returns the number of a figure; 0 of what is none of the paper's."""
  found = re.match(r"fig(\d+)", key[0])
  return int(found[1]) if found else 0


def _read(name: str, every: Sequence[epath.Path]) -> FigureRun:
  paths, left_out = joining.choose(every)
  variants: dict[str, list[Run]] = {}
  for variant in dict.fromkeys(
    v for path in paths for v in joining.variants_of(path)
  ):
    there = [path / variant for path in paths if _has_begun(path / variant)]
    if there:
      variants[variant] = results.read(there)
  return FigureRun(
    name,
    tuple(paths),
    variants,
    [line for path in paths for line in _lines(path / workdir.OVERLAPS)],
    {
      variant: {
        of["seed"]: of
        for run in runs
        for of in run.magnitudes
        if of["round"] == 0
      }
      for variant, runs in variants.items()
    },
    results.name_tasks(
      [run for runs in variants.values() for run in runs], series=variants
    ),
    left_out=[
      *left_out,
      *(
        text for runs in variants.values() for r in runs for text in r.left_out
      ),
    ],
  )


def _has_begun(study: epath.Path) -> bool:
  """Returns whether there are results, or a stage that is done without any."""
  done = (f / workdir.RESULT for f in workdir.stage_folders(study))
  return any(file.exists() for file in (study / workdir.RESULTS, *done))


def _lines(file: epath.Path) -> list[dict]:
  if not file.exists():
    return []
  lines = records.read_json_lines(file)
  for where, line in lines:
    forms.check(line, forms.OVERLAPS, where)
    if not digests.is_whole(line):
      raise ResultsError(f"{where}: damaged: not the values of its digest")
  return [line for _, line in lines]
