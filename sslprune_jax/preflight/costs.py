"""What a study's step costs on a TPU: memory, time, and the whole study's."""

import dataclasses
import math
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any

import jax
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import data
from sslprune_jax.preflight import chips, outlines
from sslprune_jax.preflight.chips import Chip
from sslprune_jax.preflight.compiled import (
  Compiled,
  compile_once,
  lower_step,
  step_shapes,
)
from sslprune_jax.runtime import environment
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.study import run
from sslprune_jax.study.images import RETRAINING, StudyData
from sslprune_jax.study.plan import plan
from sslprune_jax.study.trainers import Trainers
from sslprune_jax.training.state import TrainState
from sslprune_jax.training.trainer import Trainer
from sslprune_jax.workdir import Stage


def estimate_cost(
  config: ConfigDict, topology: str, task: str | None = None
) -> dict[str, Any]:
  """Compiles the training step of a study for a TPU, and estimates its cost.

  Args:
    config: configuration; of variants the first one's step is compiled.
    topology: kind and shape of the slice, such as "v5e:2x4".
    task: task of the study whose step is compiled, or "retrain"; the first by
      default.

  Returns:
    JSON values; sizes in bytes, times in seconds; `flops`, `traffic` (bytes)
    and `needed` are those of an update on one chip. Where the step does not
    fit, `fits` is False and what follows from the program is missing.

  Raises:
    ConfigError: an impossible configuration.
    TopologyError: an impossible topology.
    DataError: the images are neither known nor there.
  """
  configs = list(run.fit(config)[0].values())
  devices = chips.devices(topology)
  chip, count = chips.CHIPS[topology.split(":")[0]], len(devices)
  made = {}
  images = [StudyData(each, _open) for each in configs]
  studies = [
    Trainers(each, of_study, made)
    for each, of_study in zip(configs, images, strict=True)
  ]
  purpose = task or configs[0].tasks[0]
  training = _find_training(configs[0], studies[0], purpose)
  training.check_batch(count, f"chips of {topology}")
  source = images[0].images(purpose, configs[0].seeds[0]).train
  state, batch = step_shapes(training, source, count)
  compiled, was_cached = compile_once(
    lower_step(training, state, batch, devices),
    topology,
    (environment.cache_folder() or pathlib.Path(tempfile.mkdtemp()))
    / "preflight",
  )
  found = {
    **_describe(configs[0], purpose, training, source),
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
  memory = {"memory": divide_memory(compiled, state, batch, count)}
  trained = count_trainings(zip(configs, studies, strict=True))
  return found | memory | _estimate(compiled, chip, count, training, trained)


def _find_training(
  config: ConfigDict, trainings: Trainers, purpose: str
) -> Trainer:
  """Returns the training of a task, or of retraining."""
  training = trainings.pretext.get(purpose)
  if purpose == RETRAINING:
    training = trainings.retraining
  if training is None:
    raise ConfigError(
      f"--task: found {purpose!r}, expected one of "
      f"{(*config.tasks, RETRAINING)} that the study trains"
    )
  return training


def _describe(
  config: ConfigDict, purpose: str, training: Trainer, source: data.Source
) -> dict[str, Any]:
  """Returns what the step is of, as JSON values."""
  return {
    "config": config.name,
    "task": purpose,
    "network": config_lib.network_name(config.model),
    "dtype": config.model.dtype,
    "image_shape": " x ".join(map(str, source.image_shape)),
    "batch_size": training.batch_size,
    "rows": training.task.rows,
  }


def _estimate(
  compiled: Compiled,
  chip: Chip,
  count: int,
  training: Trainer,
  trained: dict[str, int],
) -> dict[str, Any]:
  """Returns what follows from a program that fits, as JSON values."""
  times = estimate_times(compiled, chip, count)
  seconds = max(times.values())
  images_per_second = training.batch_size * training.task.rows / seconds
  hours = trained["images"] / images_per_second / 3600
  return {
    "flops": compiled.flops,
    "traffic": compiled.traffic,
    "cycles": compiled.cycles,
    "exchanged": compiled.exchanged,
    "times": times,
    "images_per_second": images_per_second,
    "utilisation": compiled.flops / (seconds * chip.peak),
    "largest_batch": largest_batch(
      compiled, training.batch_size, chip.memory, count
    ),
    "study": {**trained, "hours": hours, "chip_hours": hours * count},
  }


def _open(spec: data.Spec) -> data.Source:
  """Returns what is known of a split or, if nothing is, the split."""
  known = spec.name in outlines.NAMES
  return outlines.Outline(spec) if known else data.load(spec)


def divide_memory(
  compiled: Compiled, state: TrainState, batch: Tree, count: int
) -> dict[str, int]:
  """Divides the memory of a chip among what lies there, in bytes.

  Args:
    compiled: answer of the compiler.
    state: shapes of the state, from `step_shapes`.
    batch: shapes of the batch.
    count: number of chips, which divide the batch and what is kept by sample.

  Returns:
    Bytes by kind; together they are `compiled.needed`.
  """
  task = state.task_state
  kinds = {
    "weights": _bytes((state.params, state.batch_stats)),
    "optimizer": _bytes(state.opt_state),
    "masks": _bytes(state.masks),
    "task": _bytes((task.shared, task.fixed)) + _bytes(task.by_sample) // count,
    "batch": _bytes(batch) // count,
    "activations": compiled.temporary,
  }
  # Arrays are laid out in tiles, which are not always full.
  return {**kinds, "program_and_layout": compiled.needed - sum(kinds.values())}


def estimate_times(
  compiled: Compiled, chip: Chip, count: int
) -> dict[str, float]:
  """Estimates how long an update takes by each measure alone.

  Args:
    compiled: answer of the compiler.
    chip: generation of TPU.
    count: number of chips.

  Returns:
    Seconds by measure.
    `cycles`: the compiler's, at the chip's clock; they leave out what chips
    exchange. `compute` and `traffic`: the operations at the peak and the bytes
    at the bandwidth that are published; no update is faster. `exchange`: the
    all-reduces over all links, which may overlap with the rest.
  """
  # Every byte is sent and received once, but for a chip's own share.
  share = 2 * (count - 1) / count
  return {
    "cycles": compiled.cycles / chip.clock,
    "compute": compiled.flops / chip.peak,
    "traffic": compiled.traffic / chip.bandwidth,
    "exchange": share * sum(compiled.exchanged) / chip.links,
  }


def largest_batch(
  compiled: Compiled, batch_size: int, limit: int, count: int
) -> int:
  """Estimates the batch that fills the memory, by activations an image.

  Larger ones may fit: where memory is short the compiler computes activations
  again, at the price of time.

  Args:
    compiled: answer of the compiler.
    batch_size: images in the batch it was compiled for, over all chips.
    limit: memory of a chip, in bytes.
    count: number of chips.

  Returns:
    Images, over all chips.
  """
  fixed = compiled.needed - compiled.temporary
  each = compiled.temporary * count / batch_size
  return math.floor((limit - fixed) / each) * count


def count_trainings(
  studies: Iterable[tuple[ConfigDict, Trainers]],
) -> dict[str, int]:
  """Counts the `trainings` of studies, and the `images` that networks see.

  Transfers to other data are not among them.

  Args:
    studies: configurations and their trainings.
  """
  found = [
    trainings.num_images(stage)
    for config, trainings in studies
    for stage in plan(config)
    if isinstance(stage, Stage)
  ]
  return {"trainings": sum(map(bool, found)), "images": sum(found)}


def _bytes(tree: Tree) -> int:
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
