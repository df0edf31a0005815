"""What a shrunk network has kept of the one that it was shrunk from, as a text.

`n.bits:name@axis,name@axis;n.bits:...`: n bits, hexadecimal, say for each index
of these axes whether it is kept. Names are those of `{"params",
"batch_stats"}`.
"""

import functools
from collections.abc import Mapping
from typing import Any

import chex
import numpy as np

from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.trees import Tree, named_leaves, with_leaves

Kept = dict[tuple[str, int], np.ndarray]  # bool[n] of an axis of n


def encode(kept: Mapping[tuple[str, int], np.ndarray]) -> str:
  """Returns the text of what is kept.

  Args:
    kept: whether each index of an axis is kept, bool[n], by name and axis.
  """
  places: dict[str, list[str]] = {}
  for (name, axis), bits in kept.items():
    chex.assert_rank(bits, 1, custom_message=name)
    chex.assert_type(bits, bool, custom_message=name)
    pattern = np.packbits(bits).tobytes().hex()
    places.setdefault(f"{len(bits)}.{pattern}", []).append(f"{name}@{axis}")
  return ";".join(f"{p}:{','.join(names)}" for p, names in places.items())


@functools.lru_cache(maxsize=8)
def decode(text: str) -> Kept:
  """Returns what is kept, bool[n] by name and axis.

  Args:
    text: text of `encode`, or of anybody.

  Raises:
    ConfigError: it is none.
  """
  try:
    kept = {}
    for part in filter(None, text.split(";")):
      pattern, names = part.split(":")
      size, digits = pattern.split(".")
      bits = np.frombuffer(bytes.fromhex(digits), np.uint8)
      if len(bits) != -(-int(size) // 8):
        raise ValueError(f"{len(bits)} bytes for {size}")
      bits = np.unpackbits(bits, count=int(size)).astype(bool)
      if not bits.any():
        raise ValueError("nothing is kept")
      for name in names.split(","):
        name, axis = name.split("@")
        kept[name, int(axis)] = bits
    return kept
  except ValueError as error:
    raise ConfigError(
      f"config.model.kept: found {text[:40]!r} ... ({error}), expected '', or "
      "the text of a shrunk network"
    ) from None


def take(
  variables: dict[str, Tree], kept: Mapping[tuple[str, int], np.ndarray]
) -> dict[str, Tree]:
  """Slices out of a network what a shrunk one has not kept.

  Args:
    variables: `{"params", "batch_stats"}` of the whole network.
    kept: whether each index of an axis is kept, bool[n], by name and axis.

  Returns:
    The variables, of which the named axes are shorter, where they were.

  Raises:
    ConfigError: what is kept is of another network.
  """
  leaves: dict[str, Any] = named_leaves(variables)
  for (name, axis), bits in kept.items():
    shape = np.shape(leaves[name]) if name in leaves else ()
    if shape[axis : axis + 1] != bits.shape:
      raise ConfigError(
        f"config.model.kept: found {len(bits)} along axis {axis} of {name}, "
        f"expected what the network has there, of the shape {shape}"
      )
    leaves[name] = leaves[name].take(np.flatnonzero(bits), axis=axis)
  return with_leaves(variables, leaves)


def compose(
  first: Mapping[tuple[str, int], np.ndarray],
  then: Mapping[tuple[str, int], np.ndarray],
) -> Kept:
  """Returns what is kept, of the whole network, by one slicing and another.

  Args:
    first: whether each index of an axis is kept, bool[n], by name and axis.
    then: the same of what the first one left.
  """
  found = {key: np.ones(len(bits), bool) for key, bits in then.items()}
  found |= {key: bits.copy() for key, bits in first.items()}
  for key, bits in then.items():
    found[key][found[key]] = bits
  return found
