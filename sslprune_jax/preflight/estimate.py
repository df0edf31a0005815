"""What a compiled step costs: memory by kind, time, and the whole study's."""

import math
from collections.abc import Iterable

import jax
from ml_collections import ConfigDict

from sslprune_jax.preflight.chips import Chip
from sslprune_jax.preflight.compiled import Compiled
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.study.plan import plan
from sslprune_jax.study.study_trainings import StudyTrainings
from sslprune_jax.training.state import TrainState
from sslprune_jax.workdir import Stage


def memory(
  compiled: Compiled, state: TrainState, batch: Tree, chips: int
) -> dict[str, int]:
  """Divides the memory of a chip among what lies there, in bytes.

  Args:
    compiled: the step.
    state: its shapes, from `lowering.shapes`.
    batch: its shapes.
    chips: that divide the batch, and what is kept by sample.
  """
  task = state.task_state
  kinds = {
    "weights": _bytes((state.params, state.batch_stats)),
    "optimizer": _bytes(state.opt_state),
    "masks": _bytes(state.masks),
    "task": _bytes(task.shared) + _bytes(task.by_sample) // chips,
    "batch": _bytes(batch) // chips,
    "activations": compiled.temporary,
  }
  # Arrays are laid out in tiles, which are not always full.
  return {**kinds, "program_and_layout": compiled.needed - sum(kinds.values())}


def times(compiled: Compiled, chip: Chip, chips: int) -> dict[str, float]:
  """Estimates how long an update takes, in seconds, by each measure alone.

  Returns:
    `cycles`: the compiler's, at the chip's clock; they leave out what chips
    exchange. `compute` and `traffic`: the operations at the peak and the bytes
    at the bandwidth that are published; no update is faster. `exchange`: the
    all-reduces over all links, which may overlap with the rest.
  """
  # Every byte is sent and received once, but for a chip's own share.
  share = 2 * (chips - 1) / chips
  return {
    "cycles": compiled.cycles / chip.clock,
    "compute": compiled.flops / chip.peak,
    "traffic": compiled.traffic / chip.bandwidth,
    "exchange": share * sum(compiled.exchanged) / chip.links,
  }


def largest_batch(
  compiled: Compiled, batch_size: int, limit: int, chips: int
) -> int:
  """Estimates the batch that fills the memory, by activations an image.

  Larger ones may fit: where memory is short the compiler computes activations
  again, at the price of time.
  """
  fixed = compiled.needed - compiled.temporary
  each = compiled.temporary * chips / batch_size
  return math.floor((limit - fixed) / each) * chips


def trained(
  studies: Iterable[tuple[ConfigDict, StudyTrainings]],
) -> dict[str, int]:
  """Counts the `trainings` of studies, and the `images` that networks see.

  Transfers to other data are not among them.
  """
  found = [
    of_study.images(stage)
    for config, of_study in studies
    for stage in plan(config)
    if isinstance(stage, Stage)
  ]
  return {"trainings": sum(map(bool, found)), "images": sum(found)}


def _bytes(tree: Tree) -> int:
  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
