"""Names in checkpoints of others -> torchvision's, by one rule.

Names are joined over nested dicts, so that whatever wraps a network
(`state_dict`, `module`, `encoder_q`, `backbone`) is a prefix of its names. The
network is where most of its convolutions stand behind one prefix.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from sslprune_jax.exchange.forms import FORMS, HEADS
from sslprune_jax.exchange.rest import group_rest, names_inside
from sslprune_jax.exchange.tensors import CheckpointError, Tensor

# Dicts in each other, names, and characters of one: hostile above.
_DEEPEST, _MOST, _LONGEST = 12, 100_000, 400
_LEAST = 5  # Convolutions of a network.
# Of two networks in a file these are the second choice: a copy that moves
# slowly after the other or, of DINO, that is moved after.
_SECOND = re.compile(
  r"(^|[._])(encoder_k|momentum|target|ema|student|opt_state|optimizer)[._]"
)


@dataclasses.dataclass(frozen=True)
class Found:
  """A network in a checkpoint.

  Attributes:
    family: "resnet", or "sequential": VGG and AlexNet.
    prefix: what stood before its names.
    tensors: its arrays by torchvision's names.
    left: groups of names that are not of it, with the number of their arrays.
    inside: names of them that stand among the parts of the trunk.
    others: prefixes behind which as large a network stands.
    padding: value of `model.padding` of a ResNet.
  """

  family: str
  prefix: str
  tensors: dict[str, Tensor]
  left: dict[str, int]
  inside: tuple[str, ...] = ()
  others: tuple[str, ...] = ()
  padding: str = ""


def flatten(tree: Mapping[str, Any]) -> dict[str, Tensor]:
  """Returns the arrays of nested dicts, their names joined by dots.

  What is nested too deep, in a circle, or has too long a name, is left out.

  Raises:
    CheckpointError: a name twice, or too many.
  """
  found: dict[str, Tensor] = {}
  stack = [("", tree, 0)]
  seen = 0
  while stack:
    prefix, value, depth = stack.pop()
    for name, item in reversed(list(value.items())):
      nested = isinstance(item, Mapping) and depth < _DEEPEST
      name = f"{prefix}{name}"
      if len(name) > _LONGEST or not (nested or isinstance(item, Tensor)):
        continue
      seen += 1
      if seen > _MOST:
        raise CheckpointError(f"found more than {_MOST} arrays and dicts")
      if nested:
        stack.append((f"{name}.", item, depth + 1))
      elif name in found:
        raise CheckpointError(f"{name}: found it twice")
      else:
        found[name] = item
  return found


def find(tensors: Mapping[str, Tensor], prefix: str | None = None) -> Found:
  """Finds the network among the arrays of a checkpoint.

  Args:
    tensors: arrays by their joined names.
    prefix: end of what stands before the network's names, such as
      `module.encoder_k.`; None: behind which most convolutions stand.

  Returns:
    The network.

  Raises:
    CheckpointError: there is none, or none behind the prefix.
  """
  groups = _match(tensors)
  sizes = {
    key: size
    for key, taken in groups.items()
    if (size := _count_convolutions(taken, tensors)) >= _LEAST
  }
  if not tensors:
    raise CheckpointError(
      "found no arrays; of a pickled module save its state_dict"
    )
  if not sizes:
    raise CheckpointError(
      f"found no network of a known layout among {_sample(tensors)}"
    )
  if prefix is not None:
    sizes = behind(prefix, sizes)
  (number, where), others = choose(sizes)
  taken = groups[number, where]
  if FORMS[number].family == "sequential":
    taken = _with_heads(taken, tensors, where)
  return Found(
    FORMS[number].family,
    where,
    {name: tensors[theirs] for name, theirs in taken.items()},
    group_rest(tensors, set(taken.values()), where),
    names_inside(tensors, set(taken.values()), where),
    others,
  )


def choose(
  sizes: Mapping[tuple[int, str], int],
) -> tuple[tuple[int, str], tuple[str, ...]]:
  """Chooses among the networks of a checkpoint.

  Args:
    sizes: number of convolutions by (way of naming, prefix).

  Returns:
    The largest one, and the prefixes of those that are as large.
  """
  largest = max(sizes.values())
  ties = [key for key, size in sizes.items() if size == largest]
  ties.sort(key=lambda key: bool(_SECOND.search(key[1])))
  return ties[0], tuple(where for _, where in ties[1:])


def _match(
  tensors: Mapping[str, Tensor],
) -> dict[tuple[int, str], dict[str, str]]:
  """Returns torchvision's name -> theirs, by (place in `FORMS`, prefix)."""
  groups: dict[tuple[int, str], dict[str, str]] = {}
  for number, form in enumerate(FORMS):
    prefixed = re.compile(rf"(?P<prefix>|.*?\.)(?:{form.pattern})")
    bare = re.compile(form.pattern)  # Whose groups have their numbers.
    for name in tensors:
      match = prefixed.fullmatch(name)
      if match:
        where = match["prefix"]
        ours = form.translate(bare.fullmatch(name, len(where)))
        groups.setdefault((number, where), {}).setdefault(ours, name)
  return groups


def behind(
  prefix: str, sizes: Mapping[tuple[int, str], int]
) -> dict[tuple[int, str], int]:
  """Returns the networks whose prefix ends as it was asked for.

  Args:
    prefix: end of a prefix; "" for none.
    sizes: number of convolutions by (way of naming, prefix).

  Raises:
    CheckpointError: there is none.
  """
  asked = prefix.rstrip(".")
  kept = {
    key: size
    for key, size in sizes.items()
    if f".{key[1]}".rstrip(".").endswith(f".{asked}" if asked else "")
    and (asked or not key[1])
  }
  if not kept:
    known = sorted({where for _, where in sizes})
    raise CheckpointError(
      f"found no network behind {prefix!r}, expected one of {known}"
    )
  return kept


def _count_convolutions(
  taken: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> int:
  """Counts the layers that have a kernel, or a mask of one."""
  return len({
    ours.rpartition(".")[0]
    for ours, theirs in taken.items()
    if len(tensors[theirs].shape) == 4
  })  # fmt: skip


def _with_heads(
  taken: dict[str, str], tensors: Mapping[str, Tensor], prefix: str
) -> dict[str, str]:
  """Adds the layers that stand under names of their own."""
  more = {
    f"{ours}.{leaf}": f"{prefix}{theirs}.{leaf}"
    for theirs, ours in HEADS.items()
    for leaf in ("weight", "bias")
    if f"{prefix}{theirs}.{leaf}" in tensors
  }
  return {**taken, **more}


def _sample(tensors: Mapping[str, Tensor]) -> str:
  names = list(tensors)
  more = f", ... {len(names)} arrays" if len(names) > 4 else ""
  return f"[{', '.join(names[:4])}{more}]"
