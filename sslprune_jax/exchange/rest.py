"""What is left of a checkpoint when its network is taken."""

import collections
import itertools
from collections.abc import Mapping

from sslprune_jax.exchange.tensors import Tensor

# Modules that hold a trunk and more.
_AROUND = ("resnet", "params", "batch_stats")


def group_rest(
  tensors: Mapping[str, Tensor], taken: set[str], prefix: str
) -> dict[str, int]:
  """Groups what is left of a checkpoint by where its names leave a prefix.

  Args:
    tensors: arrays by their joined names.
    taken: names of those that were taken.
    prefix: what stands before these.

  Returns:
    Beginning of names -> number of arrays.
  """
  return dict(
    collections.Counter(
      _group(name, prefix)
      for name in tensors
      if name not in taken and not name.endswith("num_batches_tracked")
    )
  )


def names_inside(
  tensors: Mapping[str, Tensor], taken: set[str], prefix: str
) -> tuple[str, ...]:
  """Returns what is left of a checkpoint beside parts of its network.

  Args:
    tensors: arrays by their joined names.
    taken: names of those that were taken.
    prefix: what stands before these.

  Returns:
    Names in a module that the network's arrays are of, deeper than the prefix.
  """
  around = {f"{prefix}{name}" for name in _AROUND}
  modules = {
    ".".join(parts[:end])
    for parts in (name.split(".") for name in taken)
    for end in range(1, len(parts) - 1)
  }
  modules = {m for m in modules if len(m) > len(prefix)} - around
  return tuple(
    name
    for name in tensors
    if name not in taken
    and not name.endswith("num_batches_tracked")
    and any(
      name[:place] in modules
      for place, letter in enumerate(name)
      if letter == "."
    )
  )


def _group(name: str, prefix: str) -> str:
  """Returns the beginning of a name up to where it leaves a prefix."""
  parts, common = name.split("."), prefix.split(".")
  pairs = zip(parts[:-1], common, strict=False)
  same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
  return ".".join(parts[: same + 1])
