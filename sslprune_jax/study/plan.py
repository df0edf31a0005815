"""The plan of a study: its stages, in the order in which they run."""

from collections.abc import Iterable, Sequence

import numpy as np
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax.config import protocols, rounds
from sslprune_jax.pruning import counts, magnitude
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.trees import Tree, named_leaves
from sslprune_jax.workdir import UNTRAINED, Stage, TransferStage


def plan(config: ConfigDict) -> list[Stage | TransferStage]:
  """Lists the stages of a study in the order in which they run."""
  stages = []
  for seed in config.seeds:
    if config.transfer.random:
      stages += transfers(config, seed, UNTRAINED, (0,))
    for task in config.tasks:
      stages += [
        Stage(seed, task, i) for i in range(rounds.last(config.prune) + 1)
      ]
      stages += [
        Stage(seed, task, i, init)
        for i in config.retrain.rounds
        for init in config.retrain.inits
      ]
      stages += transfers(config, seed, task, config.transfer.rounds)
  return stages


def kind(stage: Stage | TransferStage) -> str:
  """Returns "pretext", "retrain" or "transfer", as lines of results say."""
  if isinstance(stage, TransferStage):
    return "transfer"
  return "retrain" if stage.init else "pretext"


def ranked_kernels(config: ConfigDict, uses: Iterable[str]) -> list[str]:
  """Lists the kernels that pruning may touch: those of the first layers.

  Args:
    config: the configuration.
    uses: names of the trunk's kernels in forward order, as of `models.uses`.

  Raises:
    ConfigError: there are fewer layers.
  """
  layers, first = models.layer_order(uses), config.prune.first_layers
  if first > len(layers):
    raise ConfigError(
      f"config.prune.first_layers: found {first}, expected at most the "
      f"{len(layers)} layers of {config.model.name}"
    )
  return [name for layer in layers[: first or None] for name in layer]


def check_remaining(
  config: ConfigDict, ranked: Sequence[str], masks: Tree
) -> None:
  """Refuses rounds after which no weight remains, or densities not to be had.

  Args:
    config: the configuration.
    ranked: names of the kernels that pruning may touch.
    masks: masks that the dense network starts with.

  Raises:
    ConfigError: names the last round that leaves a weight, or the density.
  """
  prune, groups = config.prune, magnitude.SCOPES[config.prune.scope]
  leaves = named_leaves(masks)
  sizes, left = (
    [sum(count(leaves[name]) for name in group) for group in groups([*ranked])]
    for count in (np.size, np.count_nonzero)
  )
  if prune.method == "one-shot":
    for density in prune.densities:
      kept = [counts.share_of(n, density) for n in sizes]
      if not any(kept) or any(k > n for k, n in zip(kept, left, strict=True)):
        raise ConfigError(
          f"config.prune.densities: found {density}, which is {sum(kept):,} of "
          f"{sum(sizes):,} weights, expected at least one, and at most the "
          f"{sum(left):,} that the network starts with"
        )
    return
  for index in range(1, prune.rounds + 1):
    left = [counts.remaining_after(n, prune.rate) for n in left]
    if not any(left):
      raise ConfigError(
        f"config.prune.rounds: found {prune.rounds}, expected at most "
        f"{index - 1}: at config.prune.rate={prune.rate} none of the "
        f"{sum(sizes):,} weights remains after one more"
      )


def parts(named: str) -> tuple[str, str, float]:
  """Splits what `config.transfer.protocols` names.

  Args:
    named: name as `protocol:target`, or `protocol:target:fraction`.

  Returns:
    Protocol, target and fraction.

  Raises:
    ValueError: it has another form.
  """
  whole = ("1",) if named.count(":") == 1 else ()
  protocol, target, fraction = (*named.split(":"), *whole)
  return protocol, target, float(fraction)


def transfers(
  config: ConfigDict, seed: int, task: str, rounds: Sequence[int]
) -> list[TransferStage]:
  """Lists the transfers of one task's networks.

  Args:
    config: the configuration.
    seed: seed of the study.
    task: task, or `UNTRAINED`, which is not pruned.
    rounds: rounds whose networks are transferred.

  Returns:
    The stages; pruning during transfer starts from the dense network and
    passes through every round up to the last of `rounds`.
  """
  stages = []
  for named in config.transfer.protocols:
    protocol, target, fraction = parts(named)
    row, judged = protocols.find(protocol), rounds
    if row.every_round:
      judged = () if task == UNTRAINED else range(max(rounds, default=-1) + 1)
    layers = config.transfer.layers if row.reads_layers else ("features",)
    stages += [
      TransferStage(seed, task, index, protocol, target, fraction, layer)
      for index in judged
      for layer in layers
    ]
  return stages
