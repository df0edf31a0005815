"""Mask trees: which weights of a network remain.

`Masks` has exactly the structure of params. A prunable leaf is
`bool[shape of the kernel]`, every other leaf the scalar `True`, so that every
operation is one `jax.tree.map(f, masks, params)` and nothing is None.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.runtime.trees import Tree, from_names, named_leaves, path_name

Masks = Any


def why_kept(name: str) -> str | None:
  """Says why a parameter is never pruned; None when it is prunable.

  The paper (section 3) prunes neither the last fully connected layer nor batch
  norm; biases, which it does not mention, are left alone too. Chosen by path
  and kind, never by shape.

  Args:
    name: a parameter's path, such as `trunk/stage1/conv/kernel`.

  Returns:
    The reason, or None for the convolution and dense kernels of the trunk.
  """
  if not name.startswith("trunk/"):
    return "head"
  kind = name.rsplit("/", 1)[-1]
  return None if kind == "kernel" else kind


def dense(params: Tree) -> Masks:
  """Returns the masks under which every weight remains.

  Args:
    params: `{"trunk": ..., "head": ...}`, arrays or their shapes.

  Returns:
    Masks on the host (NumPy), all True.

  Raises:
    ValueError: nothing in `params` is prunable.
  """
  masks = jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      np.ones(leaf.shape, bool)
      if why_kept(path_name(path)) is None
      else np.ones((), bool)
    ),
    params,
  )
  if not prunable(masks):
    raise ValueError(
      "params: found no prunable weight, expected at least one `trunk/.../"
      f"kernel` among {sorted(named_leaves(params))}"
    )
  return masks


def prunable(masks: Masks) -> dict[str, Any]:
  """Returns the masks of the prunable kernels by name, sorted by name."""
  return {
    name: leaf
    for name, leaf in named_leaves(masks).items()
    if why_kept(name) is None
  }


def apply(masks: Masks, tree: Tree) -> Tree:
  """Sets what is pruned to exactly 0, in params, gradients or moments.

  A select, not a product: a NaN or an infinity under the mask becomes 0 too.

  Args:
    masks: the masks.
    tree: a tree of the same structure.

  Returns:
    The masked tree, of the same dtypes.
  """
  return jax.tree.map(
    lambda mask, leaf: jnp.where(mask, leaf, jnp.zeros_like(leaf)), masks, tree
  )


def count(masks: Masks) -> tuple[int, int]:
  """Returns how many prunable weights remain, and how many there are."""
  leaves = prunable(masks).values()
  kept = sum(int(np.count_nonzero(leaf)) for leaf in leaves)
  return kept, sum(leaf.size for leaf in leaves)


def density(masks: Masks) -> float:
  """Returns the share of the prunable weights that remains, in [0, 1]."""
  kept, total = count(masks)
  return kept / total


def shares(masks: Masks, params: Tree) -> dict[str, float]:
  """Returns what remains, as lines of results have it.

  Args:
    masks: the masks.
    params: that all parameters are counted of.

  Returns:
    `density` of the prunable weights, `density_of_all` of the params, and how
    many weights are `kept` of the `prunable` ones.
  """
  kept, total = count(masks)
  parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
  return {
    "density": kept / total,
    "density_of_all": (parameters - total + kept) / parameters,
    "kept": kept,
    "prunable": total,
  }


def check(masks: Masks, params: Tree) -> None:
  """Refuses masks that do not fit the params.

  Args:
    masks: the masks.
    params: the params that they are to mask.

  Raises:
    ValueError: names the first parameter that differs.
  """
  expected, found = named_leaves(dense(params)), named_leaves(masks)
  for name in sorted(expected.keys() | found.keys()):
    shapes = [
      "nothing" if name not in leaves else f"shape {np.shape(leaves[name])}"
      for leaves in (found, expected)
    ]
    if shapes[0] != shapes[1]:
      raise ValueError(
        f"mask of {name}: found {shapes[0]}, the network expects {shapes[1]}"
      )


def check_pruned(masks: Masks, params: Tree) -> None:
  """Refuses params of which a pruned weight is not exactly 0.

  Networks have been published that were denser than was said.

  Args:
    masks: the masks.
    params: of the same structure, on the host or on devices.

  Raises:
    ValueError: names the first kernel, and how many of its weights.
  """
  leaves = named_leaves(params)
  for name, mask in prunable(masks).items():
    revived = np.count_nonzero(np.asarray(leaves[name])[~np.asarray(mask)])
    if revived:
      raise ValueError(
        f"{name}: found {revived} weights under the mask that are not 0, "
        "expected none"
      )


def overlap(a: Masks, b: Masks) -> list[dict[str, Any]]:
  """Counts what two masks share, layer by layer.

  Two masks drawn at random that keep `a` and `b` of a layer's n weights share
  a b / n of them in expectation (hypergeometric).

  Args:
    a: the masks.
    b: other masks of the same trunk.

  Returns:
    JSON values, an entry a layer: `path`, `total` weights, those kept by `a`,
    by `b` and by `both`.

  Raises:
    ValueError: the trunks differ.
  """
  ours, theirs = prunable(a), prunable(b)
  shapes = [{k: v.shape for k, v in m.items()} for m in (ours, theirs)]
  if shapes[0] != shapes[1]:
    differing = sorted(dict(shapes[0].items() ^ shapes[1].items()))
    raise ValueError(f"masks of different networks: {differing} differ")
  return [
    {
      "path": name,
      "total": ours[name].size,
      "a": int(np.count_nonzero(ours[name])),
      "b": int(np.count_nonzero(theirs[name])),
      "both": int(np.count_nonzero(ours[name] & theirs[name])),
    }
    for name in ours
  ]


def report(
  masks: Masks, params: Tree, uses: Mapping[str, int]
) -> dict[str, Any]:
  """Counts what remains, layer by layer.

  Args:
    masks: the masks.
    params: arrays or shapes of the parameters.
    uses: of each prunable kernel, from `models.uses`; in forward order.

  Returns:
    JSON values: `layers` (path, shape, total, kept, uses, dead_outputs: output
    channels of which no weight is left), `kept` and `prunable` weights,
    `parameters` of the whole network, and `excluded` (path, size, reason).
  """
  by_name = {name: np.asarray(leaf) for name, leaf in prunable(masks).items()}
  assert sorted(uses) == sorted(by_name), "uses names other kernels"
  sizes = {
    name: int(np.prod(leaf.shape))
    for name, leaf in named_leaves(params).items()
  }
  kept, total = count(masks)
  return {
    "layers": [
      {
        "path": name,
        "shape": list(by_name[name].shape),
        "total": by_name[name].size,
        "kept": int(np.count_nonzero(by_name[name])),
        "uses": count_of_uses,
        "dead_outputs": _dead_outputs(by_name[name]),
      }
      for name, count_of_uses in uses.items()
    ],
    "kept": kept,
    "prunable": total,
    "parameters": sum(sizes.values()),
    "excluded": [
      {"path": name, "size": size, "reason": why_kept(name)}
      for name, size in sizes.items()
      if why_kept(name)
    ],
  }


def _dead_outputs(mask: np.ndarray) -> int:
  """Counts the outputs (last axis) that no remaining weight leads to."""
  return int(np.count_nonzero(~mask.reshape(-1, mask.shape[-1]).any(axis=0)))


def pack(masks: Masks) -> dict[str, np.ndarray]:
  """Returns the prunable masks as bits, eight to a byte, by name."""
  return {name: np.packbits(leaf) for name, leaf in prunable(masks).items()}


def unpack(packed: dict[str, np.ndarray], params: Tree) -> Masks:
  """Returns the masks that `pack` packed, in the structure of `params`."""
  leaves = {}
  for name, leaf in named_leaves(dense(params)).items():
    if why_kept(name) is None:
      bits = np.unpackbits(packed[name], count=leaf.size)
      leaf = bits.astype(bool).reshape(leaf.shape)
    leaves[name] = leaf
  return from_names(leaves)
