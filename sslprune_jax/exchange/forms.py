"""The ways in which projects name the parts of a network.

Each is a pattern of names behind a prefix, and what turns a match into the name
that torchvision has for it.
"""

import dataclasses
import re
from collections.abc import Callable

_LEAF = r"(weight|bias|running_mean|running_var|weight_orig|weight_mask)"
_PART = r"(?:conv[1-3]|bn[1-3]|downsample\.[01])"
_HF = {"convolution": "conv", "normalization": "bn"}
_HF_SHORTCUT = {"convolution": "downsample.0", "normalization": "downsample.1"}
# DeepCluster's AlexNet in VISSL: block -> its convolution in `features`.
_VISSL_ALEXNET = {"0": 0, "2": 4, "4": 8, "5": 11, "6": 14}


def _from_hugging_face(m: re.Match) -> str:
  """Returns torchvision's name of one of Hugging Face's ResNet."""
  if m["stem"]:
    return f"{_HF[m['stem']]}1.{m['stem_leaf']}"
  if m["head"]:
    return f"fc.{m['head']}"
  block = f"layer{int(m['stage']) + 1}.{m['block']}"
  part = _HF_SHORTCUT[m["kind"]]
  if m["number"]:
    part = f"{_HF[m['kind']]}{int(m['number']) + 1}"
  return f"{block}.{part}.{m['leaf']}"


def _from_number(m: re.Match) -> str:
  """Returns torchvision's name of one of a list of its children."""
  if m[1]:
    return f"{'bn1' if m[1] == '1' else 'conv1'}.{m[4]}"
  return f"layer{int(m[2]) - 3}.{m[3]}.{m[4]}"


def _leaf_group(leaf: str) -> str:
  return _LEAF.replace("(", f"(?P<{leaf}>", 1)


@dataclasses.dataclass(frozen=True)
class Form:
  """A way to name the parts of a family of networks.

  Attributes:
    family: "resnet", or "sequential": VGG and AlexNet.
    pattern: regular expression of a name without its prefix.
    translate: function of a match to torchvision's name.
  """

  family: str
  pattern: str
  translate: Callable[[re.Match], str]


FORMS = (
  Form(
    "resnet",
    rf"(conv1|bn1|fc|layer[1-4]\.\d+\.{_PART})\.{_LEAF}",
    lambda m: f"{m[1]}.{m[2]}",
  ),
  Form("resnet", rf"(?:([01])|([4-7])\.(\d+\.{_PART}))\.{_LEAF}", _from_number),
  Form(
    "resnet",
    r"(?:resnet\.)?(?:"
    rf"embedder\.embedder\.(?P<stem>{'|'.join(_HF)})\.{_leaf_group('stem_leaf')}"
    r"|classifier\.1\.(?P<head>weight|bias)"
    r"|encoder\.stages\.(?P<stage>[0-3])\.layers\.(?P<block>\d+)\."
    rf"(?:layer\.(?P<number>[0-2])|shortcut)\.(?P<kind>{'|'.join(_HF)})"
    rf"\.{_leaf_group('leaf')})",
    _from_hugging_face,
  ),
  Form(
    "sequential",
    rf"(features|classifier)\.(?:module\.)?(\d+)\.{_LEAF}",
    lambda m: f"{m[1]}.{m[2]}.{m[3]}",
  ),
  Form(
    "sequential",
    rf"([02456])\.([01])\.{_LEAF}",
    lambda m: f"features.{_VISSL_ALEXNET[m[1]] + int(m[2])}.{m[3]}",
  ),
)
# What a network ends in, by its name beside or in `features` or `classifier`.
HEADS = {
  "pre_logits.fc1": "classifier.0",
  "pre_logits.fc2": "classifier.3",
  "head.fc": "classifier.6",
  "top_layer": "top_layer",
}
