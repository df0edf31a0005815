"""ResNets of Flax's ImageNet example -> torchvision's names and layout."""

import re
from collections.abc import Iterable, Mapping

from sslprune_jax.exchange.names import Found, behind, choose
from sslprune_jax.exchange.rest import group_rest, names_inside
from sslprune_jax.exchange.tensors import Tensor

_BLOCK = re.compile(
  r"(?:(?P<stem>conv_init|bn_init)|(?P<head>Dense_0)"
  r"|(?:Bottleneck)?ResNetBlock_(?P<block>\d+)\."
  r"(?:Conv_(?P<conv>\d)|BatchNorm_(?P<norm>\d)|(?P<short>conv_proj|norm_proj)))"
  r"\.(?P<leaf>kernel|bias|scale|mean|var)"
)
_COLLECTION = re.compile(
  r"(?P<prefix>|.*?\.)(?:params|batch_stats)\.(?P<name>.+)"
)
_STEM = {"conv_init": "conv1", "bn_init": "bn1"}
_SHORT = {"conv_proj": "downsample.0", "norm_proj": "downsample.1"}
_LEAVES = {
  "kernel": "weight",
  "scale": "weight",
  "bias": "bias",
  "mean": "running_mean",
  "var": "running_var",
}


def find(
  tensors: Mapping[str, Tensor], prefix: str | None = None
) -> Found | None:
  """Finds such a network among the arrays of a checkpoint.

  Args:
    tensors: arrays by their joined names.
    prefix: end of what stands before its `params`; see `names.find`.

  Returns:
    The network, its kernels as torchvision lays them out; None if there is
    none.

  Raises:
    CheckpointError: there is none behind the prefix.
  """
  groups: dict[tuple[int, str], dict[str, re.Match]] = {}
  for name in tensors:
    of = _COLLECTION.fullmatch(name)
    match = _BLOCK.fullmatch(of["name"]) if of else None
    if match:
      groups.setdefault((0, of["prefix"]), {})[name] = match
  sizes = {
    key: sum(
      m["conv"] is not None and m["leaf"] == "kernel" for m in own.values()
    )
    for key, own in groups.items()
  }
  sizes = {key: size for key, size in sizes.items() if size}
  if not sizes:
    return None
  if prefix is not None:
    sizes = behind(prefix, sizes)
  key, others = choose(sizes)
  matches = groups[key]
  places = _places(matches.values())
  return Found(
    "resnet",
    key[1],
    {
      _translate(match, places): _turn(tensors[name], match["leaf"])
      for name, match in matches.items()
    },
    group_rest(tensors, set(matches), key[1]),
    names_inside(tensors, set(matches), key[1]),
    others,
    padding="same",
  )


def _places(matches: Iterable[re.Match]) -> dict[int, str]:
  """Returns torchvision's name of each block.

  The example numbers blocks through; a stage begins where one projects.
  """
  found = [match for match in matches if match["block"]]
  starts = {int(m["block"]) for m in found if m["short"] == "conv_proj"} | {0}
  places, stage, first = {}, 0, 0
  for block in sorted({int(m["block"]) for m in found}):
    if block in starts:
      stage, first = stage + 1, block
    places[block] = f"layer{stage}.{block - first}"
  return places


def _translate(match: re.Match, places: Mapping[int, str]) -> str:
  leaf = _LEAVES[match["leaf"]]
  if match["stem"]:
    return f"{_STEM[match['stem']]}.{leaf}"
  if match["head"]:
    return f"fc.{leaf}"
  part = match["short"] and _SHORT[match["short"]]
  if match["conv"]:
    part = f"conv{int(match['conv']) + 1}"
  elif match["norm"]:
    part = f"bn{int(match['norm']) + 1}"
  return f"{places[int(match['block'])]}.{part}.{leaf}"


def _turn(tensor: Tensor, leaf: str) -> Tensor:
  """Returns a kernel HWIO as OIHW, and one of a dense layer as (out, in)."""
  if leaf != "kernel":
    return tensor
  order = (3, 2, 0, 1) if len(tensor.shape) == 4 else (1, 0)
  if len(tensor.shape) != len(order):
    return tensor
  shape = tuple(tensor.shape[axis] for axis in order)
  return Tensor(shape, lambda: tensor.read().transpose(order))
