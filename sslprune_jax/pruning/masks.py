"""Mask trees: which weights of a network remain.

`Masks` has exactly the structure of params. A prunable leaf is
`bool[shape of the kernel]`, every other leaf the scalar `True`, so that every
operation is one `jax.tree.map(f, masks, params)` and nothing is None. Which
leaves are prunable is decided once, by `dense`, and read off their shapes from
then on: any tree of params can be masked, whatever its names.
"""

from collections.abc import Callable, Collection
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.runtime.trees import (
  Tree,
  named_leaves,
  path_name,
  with_leaves,
)

Masks = Any


def why_kept(name: str) -> str | None:
  """Says why a parameter is never pruned; None when it is prunable.

  The paper (section 3) prunes neither the last fully connected layer nor batch
  norm; biases, which it does not mention, are left alone too. Chosen by path
  and kind, never by shape.

  Args:
    name: path of a parameter, such as `trunk/stage1/conv/kernel`.

  Returns:
    The reason, or None for the convolution and dense kernels of the trunk.
  """
  if not name.startswith("trunk/"):
    return "head"
  kind = name.rsplit("/", 1)[-1]
  return None if kind == "kernel" else kind


def dense(params: Tree, prunable: Callable[[str], bool] | None = None) -> Masks:
  """Returns the masks under which every weight remains.

  Args:
    params: tree of arrays or of their shapes, of any dtypes.
    prunable: predicate of a parameter's path, such as `Dense_0/kernel`; by
      default the kernels of a trunk, see `why_kept`.

  Returns:
    Masks on the host (NumPy), all True: `bool[shape]` where `prunable`, and
    `bool[]` elsewhere.

  Raises:
    ValueError: nothing in `params` is prunable, or a scalar is.
  """
  is_prunable = prunable or (lambda name: why_kept(name) is None)

  def mask(path, leaf):
    name = path_name(path)
    if not is_prunable(name):
      return np.ones((), bool)
    if leaf.shape == ():  # Its mask would say that it is never pruned.
      raise ValueError(
        f"{name}: found a prunable scalar, expected at least one axis"
      )
    return np.ones(leaf.shape, bool)

  masks = jax.tree_util.tree_map_with_path(mask, params)
  if not _kernels(masks):
    default = ", by default a `trunk/.../kernel`," * (prunable is None)
    raise ValueError(
      f"params: found no prunable weight, expected at least one{default} among "
      f"{sorted(named_leaves(params))}"
    )
  return masks


def prunable(masks: Masks) -> dict[str, Any]:
  """Returns the masks of the prunable kernels, bool[...], sorted by name."""
  return _kernels(masks)


def prunable_names(
  masks: Masks, layers: Collection[str] | None = None
) -> list[str]:
  """Returns the names of the prunable kernels, sorted.

  Args:
    masks: masks, bool[...] or bool[].
    layers: names of those to return; None for all.

  Raises:
    ValueError: one of `layers` is not prunable.
  """
  names = list(prunable(masks))
  unknown = set(layers or ()) - set(names)
  if unknown:
    raise ValueError(
      f"layers: found {sorted(unknown)}, expected some of {names}"
    )
  return [name for name in names if layers is None or name in layers]


def _kernels(masks: Masks) -> dict[str, Any]:
  leaves = named_leaves(masks).items()
  kernels = {name: leaf for name, leaf in leaves if np.ndim(leaf)}
  for name, leaf in kernels.items():
    chex.assert_type(leaf, bool, custom_message=name)
  return kernels


def apply(masks: Masks, tree: Tree) -> Tree:
  """Sets what is pruned to exactly 0, in params, gradients or moments.

  A select, not a product: a NaN or an infinity under the mask becomes 0 too.

  Args:
    masks: masks, bool[...] or bool[].
    tree: arrays of the same structure, and of the shapes of their masks.

  Returns:
    The masked tree, of the same shapes and dtypes.
  """

  def select(mask, leaf):
    chex.assert_type(mask, bool)
    if np.ndim(mask):  # What has another shape would be broadcast.
      chex.assert_equal_shape([mask, leaf])
    return jnp.where(mask, leaf, jnp.zeros_like(leaf))

  return jax.tree.map(select, masks, tree)


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
    masks: masks, bool[...] or bool[].
    params: arrays or shapes; all of them are counted.

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
    masks: masks; each is a scalar, or of the shape of its parameter.
    params: arrays or shapes that they are to mask.

  Raises:
    ValueError: names the first parameter that differs.
  """
  expected, found = named_leaves(params), named_leaves(masks)
  for name in sorted(expected.keys() | found.keys()):
    shapes = [
      "nothing" if name not in leaves else f"shape {np.shape(leaves[name])}"
      for leaves in (found, expected)
    ]
    is_scalar = name in found and np.ndim(found[name]) == 0
    if shapes[0] != shapes[1] and not (is_scalar and name in expected):
      raise ValueError(
        f"mask of {name}: found {shapes[0]}, the network expects {shapes[1]}"
      )


def check_pruned(masks: Masks, params: Tree) -> None:
  """Refuses params of which a pruned weight is not exactly 0.

  Networks have been published that were denser than was said.

  Args:
    masks: masks, bool[...] or bool[].
    params: arrays of the same structure, on the host or on devices.

  Raises:
    ValueError: names the first kernel, and how many of its weights.
  """
  leaves = named_leaves(params)
  for name, mask in prunable(masks).items():
    chex.assert_equal_shape([mask, leaves[name]], custom_message=name)
    revived = np.count_nonzero(np.asarray(leaves[name])[~np.asarray(mask)])
    if revived:
      raise ValueError(
        f"{name}: found {revived} weights under the mask that are not 0, "
        "expected none"
      )


def pack(masks: Masks) -> dict[str, np.ndarray]:
  """Returns the prunable masks as bits u8[ceil(N / 8)], by name."""
  return {name: np.packbits(leaf) for name, leaf in prunable(masks).items()}


def unpack(packed: dict[str, np.ndarray], params: Tree) -> Masks:
  """Returns the masks that `pack` packed.

  Args:
    packed: bits u8[ceil(N / 8)] of the prunable leaves, by name.
    params: arrays or shapes; N weights each.

  Returns:
    Masks on the host, in the structure of `params`.

  Raises:
    ValueError: bits of another size than the parameter, or of none.
  """
  leaves = {}
  for name, leaf in named_leaves(params).items():
    leaves[name] = np.ones((), bool)
    if name in packed:
      bits, size = packed[name], -(-leaf.size // 8)
      chex.assert_rank(bits, 1, custom_message=name)
      if len(bits) != size:
        raise ValueError(
          f"mask of {name}: found {len(bits)} bytes, expected {size} for "
          f"{leaf.size} weights"
        )
      bits = np.unpackbits(bits, count=leaf.size)
      leaves[name] = bits.astype(bool).reshape(leaf.shape)
  unknown = packed.keys() - leaves.keys()
  if unknown:
    raise ValueError(
      f"mask of {min(unknown)}: found no such parameter, expected one of "
      f"{sorted(leaves)}"
    )
  return with_leaves(params, leaves)
