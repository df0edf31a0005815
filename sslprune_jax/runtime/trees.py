"""Trees of arrays: their leaves by name, and digests of their bytes."""

import concurrent.futures
import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

Tree = Any


def path_name(path: tuple[Any, ...]) -> str:
  """Joins a key path of `jax.tree_util` by slashes."""
  return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Tree) -> dict[str, Any]:
  """Returns the leaves of a tree by name, in the order JAX flattens them.

  Args:
    tree: pytree of any kind.

  Returns:
    `{"trunk/stage1/conv/kernel": leaf, ...}`; a bare leaf is named "".
  """
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {path_name(path): leaf for path, leaf in leaves}


def from_names(leaves: Mapping[str, Any]) -> dict[str, Any]:
  """Nests named leaves in dictionaries again.

  Args:
    leaves: leaves by name, such as `named_leaves` returns of dictionaries.
  """
  return traverse_util.unflatten_dict(leaves, sep="/")


def with_leaves(tree: Tree, leaves: Mapping[str, Any]) -> Tree:
  """Returns a tree of the same structure with other leaves.

  Args:
    tree: any pytree.
    leaves: new leaves, by the names of `named_leaves(tree)`.
  """
  structure = jax.tree.structure(tree)
  return jax.tree.unflatten(structure, [leaves[n] for n in named_leaves(tree)])


@jax.jit
def are_finite(tree: Tree) -> jax.Array:
  """Returns for each leaf whether all its numbers are finite.

  Args:
    tree: pytree of arrays, at least one.

  Returns:
    bool[L], in the order of `named_leaves`.
  """
  leaves = jax.tree.leaves(tree)
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])


def digests(tree: Tree) -> dict[str, str]:
  """Returns the SHA-256 of every array of a tree: its dtype, shape and bytes.

  A checkpoint library that restores without an error has not said that the
  bytes are right; comparing these does.

  Args:
    tree: pytree of arrays on the host or on devices.

  Returns:
    Hexadecimal digests by leaf name.
  """
  leaves = named_leaves(tree)
  # Hashing leaves the interpreter to other threads.
  with concurrent.futures.ThreadPoolExecutor() as threads:
    found = threads.map(_digest, leaves.values())
    return dict(zip(leaves, found, strict=True))


def _digest(leaf: Any) -> str:
  array = np.asarray(leaf)
  # ascontiguousarray makes a scalar one-dimensional: shape is hashed apart.
  sha = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
  sha.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
  return sha.hexdigest()
