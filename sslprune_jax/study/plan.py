"""The plan of a study: its stages, in the order in which they run."""

from collections.abc import Iterable, Sequence

from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax.config import protocols
from sslprune_jax.pruning import magnitude
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
      stages += [Stage(seed, task, i) for i in range(config.prune.rounds + 1)]
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
  config: ConfigDict, ranked: Sequence[str], params: Tree
) -> None:
  """Refuses rounds after which no weight remains.

  Args:
    config: the configuration.
    ranked: names of the kernels that pruning may touch.
    params: arrays of the network, or their shapes.

  Raises:
    ConfigError: names the last round that leaves one.
  """
  rate, groups = config.prune.rate, magnitude.SCOPES[config.prune.scope]
  sizes = {name: leaf.size for name, leaf in named_leaves(params).items()}
  remaining = [sum(sizes[n] for n in group) for group in groups(list(ranked))]
  for index in range(1, config.prune.rounds + 1):
    remaining = [magnitude.remaining_after(n, rate) for n in remaining]
    if not any(remaining):
      raise ConfigError(
        f"config.prune.rounds: found {config.prune.rounds}, expected at most "
        f"{index - 1}: at config.prune.rate={rate} none of the "
        f"{sum(sizes[n] for n in ranked):,} weights remains after one more"
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
