"""Runs a configuration: its studies, all seeds or a share of them.

Seeds do not depend on each other, so that processes may divide them: each runs
its share into the same workdir, and what runs last joins the results.
"""

import contextlib
import os
from collections.abc import Collection, Iterable
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax.config import variants
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import (
  images,
  overlaps,
  plan,
  procedure,
  provenance,
  stages,
  start,
  validation,
)
from sslprune_jax.study.study import Study


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
    share: (i, n): of the seeds of all studies, taken in turn, the i-th of n
      shares. All of them are joined by a run of the whole, (0, 1).
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
  index, count = share
  jobs = [(name, seed) for name, c in configs.items() for seed in c.seeds]
  own = jobs[index::count]
  cache, progress = {}, Progress()
  studies = {
    name: Study(
      study_config,
      workdir / name,
      [seed for owner, seed in own if owner == name],
      cache,
      progress,
      name,
    )
    for name, study_config in configs.items()
  }
  with stages.hold(workdir, share):
    if config.variants:  # Else its one study lies there.
      provenance.record(config, workdir, accept_numerics=accept_numerics)
    grown = {}
    for name, study in studies.items():
      grown[name] = provenance.record(
        study.config, study.workdir, accept_numerics=accept_numerics
      )
      study.on_disk.join_with(plan.plan(grown[name]))
    lines = _run(studies.values(), progress, dict.fromkeys(notes))
    if count == 1:
      overlaps.write(workdir, grown)
  return lines


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


def _run(
  studies: Collection[Study], progress: Progress, notes: Iterable[str]
) -> list[dict[str, Any]]:
  """Runs studies, one after the other; returns their lines of results."""
  progress.start(
    sum(study.num_images(stage) for study in studies for stage in study.stages)
  )
  with contextlib.closing(progress):
    for note in notes:
      progress.say(note)
    return [line for study in studies for line in procedure.run(study)]
