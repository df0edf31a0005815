"""On which seeds a figure is judged: numbers of them that were fixed before.

More seeds than those are drawn, not judged, so that nobody stops where a
verdict happens to please.
"""

import dataclasses
from collections.abc import Collection

from ml_collections import ConfigDict

from sslprune_jax import workdir
from sslprune_jax.config.figures import JUDGED_ON, LOOKS, PILOT
from sslprune_jax.report import verdicts
from sslprune_jax.report.paper import joining
from sslprune_jax.report.paper.base import PaperFigure
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.verdicts import WITHHELD, Verdict
from sslprune_jax.report.words import write_range


def judge(figure: PaperFigure, run: FigureRun) -> tuple[list[Verdict], str]:
  """Judges a figure at the last look whose seeds are all finished.

  Args:
    figure: figure of the paper.
    run: its run, of any seeds.

  Returns:
    Its verdicts, and a sentence on the seeds that they are of. Before the first
    look they are the pilot's; without a pilot's seed nothing is judged.
  """
  dataset = run.config["dataset"]["name"]
  judged_on = JUDGED_ON.get(dataset, dataset)
  looks = LOOKS.get(judged_on)
  if looks is None:
    return _draw(figure, run), ""
  first = max(PILOT) + 1
  planned = f"{' and at '.join(map(str, looks))} seeds from {first} on"
  if judged_on != dataset:
    planned, looks = f"{planned}, of {judged_on}", ()
  for count in reversed(looks):
    seeds = range(first, first + count)
    if _has_every_variant(run) and _is_finished(run, seeds):
      judged = _draw(figure, run.only(seeds))
      if judged and all(_is_whole(verdict, count) for verdict in judged):
        return judged, (
          f"Judged on seeds {write_range(seeds)}; planned: at {planned}."
        )
  pilot = run.only(PILOT)
  if pilot.seeds:
    return _draw(figure, pilot), (
      f"A pilot, judged on seeds {write_range(pilot.seeds)}. Verdicts that "
      f"count are formed at {planned}."
    )
  reason = f"too few seeds are finished: verdicts are formed at {planned}"
  return verdicts.unless(reason, figure.draw(run)[1]), ""


def _draw(figure: PaperFigure, run: FigureRun) -> list[Verdict]:
  """Returns a figure's verdicts, with log-likelihoods beside them."""
  beside = {v.claim: v.found for v in figure.draw(run.of_losses())[1]}
  # Of what is no accuracy, as a share of weights, there is one number alone.
  return [
    dataclasses.replace(verdict, likelihood=found)
    if verdict.found and (found := beside.get(verdict.claim)) != verdict.found
    else verdict
    for verdict in figure.draw(run)[1]
  ]


def _has_every_variant(run: FigureRun) -> bool:
  asked = {name for path in run.paths for name in joining.variants_of(path)}
  return asked <= run.variants.keys()


def _is_finished(run: FigureRun, seeds: Collection[int]) -> bool:
  """Says whether there is all that each variant retrains and judges."""
  if not set(seeds) <= set(run.seeds):
    return False
  from sslprune_jax.study import identity, plan  # The rest needs no networks.

  for runs in run.variants.values():
    there = {
      workdir.folder_of(row)
      for one in runs
      for row in one.rows
      if row["stage"] in workdir.FIELDS
    }
    for one in runs:
      config = ConfigDict(identity.complete(one.config))
      config.seeds = tuple(seeds)
      # The untrained network comes first, and is there if anything is.
      planned = {
        stage.path
        for stage in plan.plan(config)
        if plan.kind(stage) != workdir.PRETEXT
        and stage.task != workdir.UNTRAINED
      }
      if not planned <= there:
        return False
  return True


def _is_whole(verdict: Verdict, count: int) -> bool:
  """Says whether each of so many seeds has its part in a verdict."""
  if verdict.verdict == WITHHELD:
    return True
  return verdict.found is not None and verdict.found.n == count
