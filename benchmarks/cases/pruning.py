"""Exact global pruning of a whole network's weights."""

import functools

import numpy as np

_RATES = (0.8, 0.99)


def _weights(name):
  """Draws weights of the shapes of a network, f32."""
  import jax

  from sslprune_jax import models
  from sslprune_jax.runtime import trees

  network = models.build(name, 1000)
  size = 224
  shapes = jax.eval_shape(
    lambda: network.init(
      jax.random.key(0), np.zeros((1, size, size, 3), np.float32), train=False
    )
  )["params"]
  rng = np.random.default_rng(0)
  return trees.from_names(
    {
      of: rng.standard_normal(leaf.shape, np.float32)
      for of, leaf in trees.named_leaves(shapes).items()
    }
  )


class Ours:
  """Scores, threshold, ties and masks."""

  def __init__(self, name):
    """Draws the weights."""
    from sslprune_jax.pruning import masks

    self._params = _weights(name)
    self._dense = masks.dense(self._params)

  def answer(self):
    """Returns how many weights remain at each rate."""
    from sslprune_jax.pruning import masks

    return {"kept": [masks.count(mask)[0] for mask in self.run()]}

  def run(self):
    """Prunes to each of the sparsities."""
    from sslprune_jax.pruning import magnitude

    return [
      magnitude.prune(
        magnitude.score("magnitude", self._params, self._dense),
        self._dense,
        rate,
        np.random.default_rng(0),
      )
      for rate in _RATES
    ]


class Torch:
  """`torch.nn.utils.prune.global_unstructured`."""

  def __init__(self, name):
    """Draws the same weights, into modules."""
    import torch

    from sslprune_jax.pruning import masks
    from sslprune_jax.runtime import trees

    torch.set_num_threads(2)
    params = _weights(name)
    self._modules = []
    for of, leaf in trees.named_leaves(params).items():
      if masks.why_kept(of) is None:
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(torch.tensor(leaf))
        self._modules.append((module, "weight"))
    self._weights = [module.weight.data for module, _ in self._modules]

  def answer(self):
    """Returns how many weights remain at each rate."""
    return {"kept": self.run()}

  def run(self):
    """Prunes to each of the sparsities."""
    from torch.nn.utils import prune

    kept = []
    for rate in _RATES:
      prune.global_unstructured(
        self._modules, pruning_method=prune.L1Unstructured, amount=rate
      )
      kept.append(
        sum(int(module.weight_mask.sum()) for module, _ in self._modules)
      )
      for (module, of), weight in zip(
        self._modules, self._weights, strict=True
      ):
        prune.remove(module, of)  # Leaves the weights masked.
        module.weight.data = weight
    return kept


class Partition:
  """`np.partition` of the magnitudes alone: the limit, without masks."""

  def __init__(self, name):
    """Draws the same weights."""
    from sslprune_jax.pruning import masks
    from sslprune_jax.runtime import trees

    self._scores = np.concatenate(
      [
        np.abs(leaf).ravel()
        for of, leaf in trees.named_leaves(_weights(name)).items()
        if masks.why_kept(of) is None
      ]
    )

  def answer(self):
    """Returns how many weights remain at each rate."""
    return {
      "kept": [
        int(np.count_nonzero(self._scores > threshold))
        for threshold in self.run()
      ]
    }

  def run(self):
    """Finds each threshold."""
    size = self._scores.size
    places = [round(rate * size) - 1 for rate in _RATES]
    return [np.partition(self._scores, place)[place] for place in places]


def _case(name, peer, peer_is, target, least=3, **more):
  return {
    "ours": functools.partial(Ours, name),
    "peer": functools.partial(peer, name),
    "ours_is": f"the masks of {name} at 80 % and 99 %",
    "peer_is": peer_is,
    "target": target,
    "tolerance": 1e-6,  # Torch rounds the count of each rate by itself.
    "least": least,
    "most": 7,
    **more,
  }


_GLOBAL = "torch.nn.utils.prune.global_unstructured"
CASES = {
  "prune_resnet50": _case("resnet50", Torch, _GLOBAL, 0.1),
  "prune_vgg16": _case("vgg16", Torch, _GLOBAL, 0.1, least=2),  # 45 s each
  "partition_resnet50": _case(
    "resnet50",
    Partition,
    "np.partition of the magnitudes, no masks",
    2.5,
    note="what is more than the partition: scores, a check for NaN, a copy "
    "that may be reordered, a count of ties, masks. Half of the passes went at "
    "commit f20eb21 (from 4.07); both sides keep their memory between runs.",
    both_ours=True,
  ),
}
