"""Which channels of a network go together, and half of them cut."""

import copy

import numpy as np

_OUTPUTS, _SIDE = 1000, 224


class Ours:
  """Groups off the jaxpr, norms, what is kept, and masks of it."""

  def __init__(self):
    """Draws the weights."""
    import jax

    from cases import step_sides

    self._shape = (_SIDE, _SIDE, 3)
    self._network, variables = step_sides.variables_of(
      "resnet50", self._shape, _OUTPUTS
    )
    self._variables = jax.tree.map(np.asarray, variables)

  def answer(self):
    """Returns the share of channels that remains."""
    lives = self.run()
    kept = sum(np.count_nonzero(alive) for alive in lives)
    return {"kept": kept / sum(alive.size for alive in lives)}

  def run(self):
    """Finds the groups and prunes."""
    from sslprune_jax.pruning import channel_cuts, channel_scores, channels
    from sslprune_jax.pruning import masks as masks_lib
    from sslprune_jax.pruning.context import Context

    params = self._variables["params"]
    groups = channels.of_network(
      self._network, self._variables, self._shape
    ).groups
    masks = channel_cuts.widen(masks_lib.dense(params), params, groups)
    context = Context(params, masks, np.random.default_rng(0))
    lives = channel_cuts.remaining(masks, groups)
    budget = channel_cuts.Budget(sum, 1, [True] * len(groups))
    kept = channel_cuts.choose(
      groups,
      channel_scores.norms(context, groups, lives),
      lives,
      budget,
      sum(group.size for group in groups) // 2,
      context.rng,
    )
    return channel_cuts.remaining(channel_cuts.cut(masks, groups, kept), groups)


class TorchPruning:
  """Its graph of dependencies, and a step of its pruner of whole networks."""

  def __init__(self):
    """Draws the weights."""
    import torch
    import torch_networks

    torch.set_num_threads(2)
    torch.manual_seed(0)
    self._network = torch_networks.NETWORKS["resnet50"](3, _OUTPUTS)
    self._images = torch.zeros(1, 3, _SIDE, _SIDE)
    self._kept = None

  def answer(self):
    """Returns the share of channels that remains."""
    self.run()
    return {"kept": self._kept}

  def run(self):
    """Finds the groups and prunes a copy: what it cuts is gone."""
    import torch_pruning

    network = copy.deepcopy(self._network)
    pruner = torch_pruning.pruner.BasePruner(
      network,
      self._images,
      importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
      pruning_ratio=0.5,
      max_pruning_ratio=0.9,
      global_pruning=True,
      ignored_layers=[network.head],
    )
    pruner.step()
    self._kept = _channels(network) / _channels(self._network)


def _channels(network):
  """Returns how many channels there are, a stream counted once a layer."""
  import torch

  return sum(
    layer.out_channels
    for layer in network.modules()
    if isinstance(layer, torch.nn.Conv2d)
  )


CASES = {
  "channels": {
    "ours": Ours,
    "peer": TorchPruning,
    "ours_is": "the channels of resnet50 that go together, half of them cut",
    "peer_is": "Torch-Pruning's graph and a step of its pruner",
    "target": 1.0,
    "tolerance": np.inf,
    "most": 11,
  }
}
