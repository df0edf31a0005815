"""Compiles a study's step for a TPU, and says what it costs."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import data
from sslprune_jax.config import variants
from sslprune_jax.preflight import chips, estimate, lowering, outlines
from sslprune_jax.preflight.compiled import compile_once
from sslprune_jax.runtime import environment
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import validation
from sslprune_jax.study.images import RETRAINING, StudyData
from sslprune_jax.study.study_trainings import StudyTrainings
from sslprune_jax.study.trainers import Trainings


def cost(
  config: ConfigDict, topology: str, task: str | None = None
) -> dict[str, Any]:
  """Compiles the training step of a study for a TPU, and estimates its cost.

  Args:
    config: the configuration; of variants the first one's step is compiled.
    topology: such as "v5e:2x4".
    task: whose step: a task of the study, or "retrain"; the first by default.

  Returns:
    JSON values; sizes in bytes, times in seconds, `flops`, `traffic` and
    `needed` a chip. Where the step does not fit, `fits` is False and what
    follows from the program is missing.

  Raises:
    ConfigError: an impossible configuration.
    TopologyError: an impossible topology.
    DataError: the images are neither known nor there.
  """
  configs = list(variants.of(config).values())
  for study_config in configs:
    validation.validate(study_config)
  devices = chips.devices(topology)
  chip, count = chips.CHIPS[topology.split(":")[0]], len(devices)
  made = Trainings()
  images = [StudyData(each, _open) for each in configs]
  studies = [
    StudyTrainings(each, of_study, made)
    for each, of_study in zip(configs, images, strict=True)
  ]
  first, trainings = configs[0], studies[0]
  purpose = task or first.tasks[0]
  training = trainings.pretext.get(purpose)
  if purpose == RETRAINING:
    training = trainings.retraining
  if training is None:
    raise ConfigError(
      f"--task: found {purpose!r}, expected one of "
      f"{(*first.tasks, RETRAINING)} that the study trains"
    )
  training.check_batch(count, f"chips of {topology}")
  source = images[0].images(purpose, first.seeds[0]).train
  state, batch = lowering.shapes(training, source, count)
  compiled, was_cached = compile_once(
    lowering.lower(training, state, batch, devices),
    topology,
    environment.cache() / "preflight",
  )
  found = {
    "config": config.name,
    "task": purpose,
    "network": config_lib.network_name(first.model),
    "dtype": first.model.dtype,
    "image_shape": " x ".join(map(str, source.image_shape)),
    "batch_size": training.batch_size,
    "rows": training.task.rows,
    "topology": topology,
    "chips": count,
    "chip": dataclasses.asdict(chip),
    "fits": compiled.fits,
    "needed": compiled.needed,
    "compile_seconds": compiled.seconds,
    "was_cached": was_cached,
  }
  if not compiled.fits:
    return found
  times = estimate.times(compiled, chip, count)
  seconds = max(times.values())
  images_per_second = training.batch_size * training.task.rows / seconds
  trained = estimate.trained(zip(configs, studies, strict=True))
  hours = trained["images"] / images_per_second / 3600
  return found | {
    "memory": estimate.memory(compiled, state, batch, count),
    "flops": compiled.flops,
    "traffic": compiled.traffic,
    "cycles": compiled.cycles,
    "exchanged": compiled.exchanged,
    "times": times,
    "images_per_second": images_per_second,
    "utilisation": compiled.flops / (seconds * chip.peak),
    "largest_batch": estimate.largest_batch(
      compiled, training.batch_size, chip.memory, count
    ),
    "study": {**trained, "hours": hours, "chip_hours": hours * count},
  }


def _open(spec: data.Spec) -> data.Source:
  """Returns what is known of a split or, if nothing is, the split."""
  known = spec.name in outlines.NAMES
  return outlines.Outline(spec) if known else data.load(spec)
