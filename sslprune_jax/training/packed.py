"""Trees as one array a dtype, each with a digest: what a checkpoint holds.

Orbax spends milliseconds on every array, of which a ResNet-50's state has
hundreds; and it restores a flipped bit without an error.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xxhash

from sslprune_jax.runtime.trees import Tree, digests, named_leaves


def pack(tree: Tree) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """Joins the leaves of a tree to one array a dtype.

  Args:
    tree: pytree of arrays on the host.

  Returns:
    Arrays [n] by the name of their dtype, and their contents by the same:
    `{"leaves": [[name, shape], ...], "xxh3_128": digest of them and the bytes}`
    of JSON.
  """
  parts: dict[str, dict[str, np.ndarray]] = {}
  for name, leaf in named_leaves(tree).items():
    leaf = np.asarray(leaf)
    parts.setdefault(leaf.dtype.name, {})[name] = leaf
  arrays, contents = {}, {}
  for dtype, part in parts.items():
    rows = [leaf.reshape(-1) for leaf in part.values()]
    # A memory bank is alone, and large.
    arrays[dtype] = rows[0] if len(rows) == 1 else np.concatenate(rows)
    leaves = [[name, list(leaf.shape)] for name, leaf in part.items()]
    digest = _digest(arrays[dtype], leaves)
    contents[dtype] = {"leaves": leaves, "xxh3_128": digest}
  return arrays, contents


def unpack_fields(
  fields: Mapping[str, Tree], contents: Mapping[str, Any]
) -> dict[str, dict[str, np.ndarray]]:
  """Cuts fields of a state into their leaves, and verifies them.

  Args:
    fields: what `pack` joined, by field; or trees, as the versions before it
      saved them.
    contents: contents of `pack` by field; or SHA-256 by names of leaves.

  Returns:
    Leaves by field and name.

  Raises:
    ValueError: some bit is another one.
  """
  found = {}
  for field, held in fields.items():
    if field in contents:
      found[field] = unpack(held, contents[field])
      continue
    for name, digest in digests({field: held}).items():
      if digest != contents.get(name):
        raise ValueError(f"{name} is damaged: found another digest")
    found[field] = named_leaves(held)
  return found


def unpack(
  arrays: Mapping[str, np.ndarray], contents: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """Cuts what `pack` joined, and verifies it.

  Args:
    arrays: [n] by the name of their dtype; they can be written no more.
    contents: what they should hold, of `pack`.

  Returns:
    Leaves by name: views.

  Raises:
    ValueError: some bit is another one.
  """
  if arrays.keys() != contents.keys():
    raise ValueError(f"found {[*arrays]}, expected {[*contents]}")
  found = {}
  for dtype, array in arrays.items():
    leaves = contents[dtype]["leaves"]
    if _digest(array, leaves) != contents[dtype]["xxh3_128"]:
      raise ValueError(f"{dtype} is damaged: found another digest")
    array.flags.writeable = False  # All who hold a view see the same values.
    ends = np.cumsum([math.prod(shape) for _, shape in leaves])
    for (name, shape), part in zip(
      leaves, np.split(array, ends[:-1]), strict=True
    ):
      found[name] = part.reshape(shape)
  return found


def _digest(array: np.ndarray, leaves: list[Any]) -> str:
  about = json.dumps([array.dtype.name, leaves])
  found = xxhash.xxh3_128(about.encode())
  found.update(np.ascontiguousarray(array).view(np.uint8))
  return found.hexdigest()
