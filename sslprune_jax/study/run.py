"""Runs a configuration: its studies, all seeds or a share of them.

Seeds do not depend on each other, so that processes may divide them: each runs
its share into the same workdir, and what runs last joins the results.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax.config import variants
from sslprune_jax.runtime import environment
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import (
  handover,
  images,
  listings,
  overlaps,
  plan,
  procedure,
  provenance,
  stages,
  start,
  validation,
)
from sslprune_jax.study.study import Study
from sslprune_jax.study.trainings import Trainings

Job = tuple[str, int]  # name of a study, and a seed


def run(
  config: ConfigDict,
  workdir: epath.PathLike,
  share: tuple[int, int] = (0, 1),
  *,
  accept_numerics: bool = False,
) -> list[dict[str, Any]]:
  """Runs the studies of a configuration, or what is left of them.

  Args:
    config: the configuration; a study, or variants of one.
    workdir: folder where everything is written.
    share: (i, n): the i-th of n shares of the seeds of all studies. All of
      them are joined by a run of the whole, (0, 1).
    accept_numerics: whether other numerics go on; see `provenance.record`.

  Returns:
    The lines of results of the share.

  Raises:
    ConfigError: an impossible configuration, before any device work.
    LockedError: another run uses the workdir.
    ProcessError: processes that run together would not do the same.
    Preempted: what was done is saved; the same call goes on from there.
  """
  provenance.agree(config)
  workdir = epath.Path(os.path.expanduser(workdir))
  configs, notes = fit(config)
  # Each host lists its own copy of a folder.
  seen = {name: _seen(study) for name, study in configs.items()}
  provenance.agree_on(seen)
  own = _deal(configs, *share)
  progress = Progress()
  # Variants agree in trainings, and their workdir says which were done.
  shared = Trainings(workdir if config.variants else None)
  studies = _open(configs, workdir, own, progress, shared)
  with stages.hold(workdir, share):
    grown = _record(config, studies, seen, workdir, accept_numerics)
    lines = _run(studies, own, progress, dict.fromkeys(notes))
    if share[1] == 1:
      for figure, part in variants.by_figure(config).items():
        names = part.variants or ("",)
        overlaps.write(
          workdir / figure,
          {name: grown[f"{figure}/{name}".strip("/")] for name in names},
        )
      for study in studies.values():
        for folder in handover.write(study.config, study.workdir):
          progress.say(f"handed over: {folder}")
  return lines


def _open(
  configs: Mapping[str, ConfigDict],
  workdir: epath.Path,
  jobs: Sequence[Job],
  progress: Progress,
  shared: Trainings,
) -> dict[str, Study]:
  """Opens studies by name, each with its seeds of some jobs."""
  cache = {}
  for name, config in configs.items():
    handover.check(config, workdir / name)
  return {
    name: Study(
      config,
      workdir / name,
      [seed for owner, seed in jobs if owner == name],
      cache,
      progress,
      name,
      shared,
    )
    for name, config in configs.items()
  }


def _record(
  config: ConfigDict,
  studies: Mapping[str, Study],
  seen: Mapping[str, dict[str, Any]],
  workdir: epath.Path,
  accept_numerics: bool,
) -> dict[str, ConfigDict]:
  """Records figures and studies; returns what each has been asked for."""
  if config.variants:  # Else its one study lies there.
    for figure, part in variants.by_figure(config).items():
      provenance.record(part, workdir / figure, accept_numerics=accept_numerics)
  grown = {}
  for name, study in studies.items():
    grown[name] = provenance.record(
      study.config,
      study.workdir,
      **seen[name],
      accept_numerics=accept_numerics,
    )
    study.on_disk.join_with(plan.plan(grown[name]))
  return grown


def _seen(config: ConfigDict) -> dict[str, Any]:
  """Says which images a study sees, of folders."""
  return {
    "images": listings.describe(config),
    "targets": listings.describe_targets(config),
  }


def fit(config: ConfigDict) -> tuple[dict[str, ConfigDict], list[str]]:
  """Fits a configuration to the network it starts from, and to its images.

  Args:
    config: the configuration; a study, or variants of one.

  Returns:
    The configuration of each study, by its name, and lines for the user.

  Raises:
    ConfigError: an impossible configuration.
    DataError: the images are not there.
  """
  configs, notes = {}, []
  for name, study in variants.expand(config).items():
    study, of_start = start.fit(study)
    validation.validate(study)
    configs[name], of_images = images.adapt(study)
    notes += of_start + of_images
  return configs, notes


def _deal(
  configs: Mapping[str, ConfigDict], index: int, count: int
) -> list[Job]:
  """Returns a share of the seeds of all studies, a seed after the other.

  A seed is dealt with all its studies, which agree in some trainings; those
  that are left over are dealt study by study, so that no process has a whole
  seed more to do.
  """
  seeds = list(dict.fromkeys(s for c in configs.values() for s in c.seeds))
  dealt = len(seeds) // count * count
  jobs = {
    seed: [(name, seed) for name, c in configs.items() if seed in c.seeds]
    for seed in seeds
  }
  whole = [job for seed in seeds[:dealt][index::count] for job in jobs[seed]]
  rest = [job for seed in seeds[dealt:] for job in jobs[seed]]
  return whole + rest[index::count]


def _run(
  studies: Mapping[str, Study],
  jobs: Sequence[Job],
  progress: Progress,
  notes: Iterable[str],
) -> list[dict[str, Any]]:
  """Runs jobs, one after the other; returns the lines of their results."""
  every = studies.values()
  progress.start(sum(s.num_images(stage) for s in every for stage in s.stages))
  with contextlib.closing(progress):
    for note in notes:
      progress.say(note)
    for study in every:
      study.save_labelled()
    for name, seed in jobs:
      procedure.run(studies[name], seed)
      environment.release_programs()
    return [line for study in every for line in study.on_disk.join()]
