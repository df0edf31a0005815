"""Runs a configuration: its studies, all seeds or a share of them.

Seeds do not depend on each other, so that processes may divide them: each runs
its share into the same workdir, and what runs last joins the results.
"""

from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax.config import variants
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import overlaps, provenance, validation
from sslprune_jax.study.study import Study
from sslprune_jax.study.trainers import Trainings


def run(
  config: ConfigDict,
  workdir: epath.PathLike,
  share: tuple[int, int] = (0, 1),
) -> list[dict[str, Any]]:
  """Runs the studies of a configuration, or what is left of them.

  Args:
    config: the configuration; a study, or variants of one.
    workdir: where everything is written.
    share: (i, n): of the seeds of all studies, taken in turn, the i-th of n
      shares. All of them are joined by a run of the whole, (0, 1).

  Returns:
    The lines of results of the share.

  Raises:
    ConfigError: an impossible configuration, before any device work.
    ProcessError: processes that run together would not do the same.
    Preempted: what was done is saved; the same call goes on from there.
  """
  provenance.agree(config)
  workdir = epath.Path(workdir)
  configs = variants.of(config)
  for study_config in configs.values():
    validation.validate(study_config)
  trainings = Trainings()
  studies = {
    name: Study(study_config, workdir / name, trainings, name)
    for name, study_config in configs.items()
  }
  provenance.record(config, workdir)
  for name, study in studies.items():
    provenance.record(study.config, workdir / name)
  jobs = [(name, s) for name in studies for s in studies[name].config.seeds]
  index, count = share
  mine = {name: [] for name in studies}
  for name, seed in jobs[index::count]:
    mine[name].append(seed)
  images = sum(studies[name].num_images(seeds) for name, seeds in mine.items())
  progress = Progress(images)
  results = []
  try:
    for name, seeds in mine.items():
      results += studies[name].run(seeds, progress)
  finally:
    progress.close()
  if count == 1:
    overlaps.write(workdir, configs)
  return results
