"""Which network arrays by torchvision's names are of, by names and shapes.

A layout lists where each of our parameters comes from. Whether all fit is said
by their shapes, held against those of our network in `fitting`.
"""

import re
from collections.abc import Sequence

from sslprune_jax.exchange import torchvision
from sslprune_jax.exchange.layouts import Builder, Layout
from sslprune_jax.exchange.names import Found
from sslprune_jax.exchange.tensors import CheckpointError
from sslprune_jax.models.layers import scale_width

_SIDE, _ALEXNET_GRID = 224, 6  # Its last grid, of such images.
_SIDE_OF_STRIDES = 32  # Pixels of an image for one of VGG's last grid.
_EDGES = 2  # Channels of a network that sees Sobel's, as DeepCluster's do.


def recognise(found: Found) -> Layout:
  """Returns the layout of a network.

  Args:
    found: the network, by torchvision's names.

  Raises:
    CheckpointError: it is one that ours cannot hold, with the reason.
  """
  if found.family == "resnet":
    return _resnet(found)
  return _sequential(found)


def _resnet(found: Found) -> Layout:
  tensors = found.tensors
  blocks: dict[int, int] = {}
  for name in tensors:
    match = re.match(r"layer(\d)\.(\d+)\.conv1\.", name)
    if match:
      stage, block = int(match[1]), int(match[2])
      blocks[stage] = max(blocks.get(stage, 0), block + 1)
  counts = tuple(blocks.get(stage, 0) for stage in (1, 2, 3, 4))
  bottleneck = any(".conv3." in name for name in tensors)
  build = Builder(tensors)
  stem = build.shape("conv1")
  name = torchvision.RESNETS.get((counts, bottleneck))
  if name is None or len(stem) != 4:
    kind = "bottleneck" if bottleneck else "basic"
    known = {f"{n}: {list(c)}" for (c, _), n in torchvision.RESNETS.items()}
    raise CheckpointError(
      f"found a ResNet of {list(counts)} {kind} blocks, expected one of "
      f"{sorted(known)}"
    )
  if stem[2] not in (3, 7):
    raise CheckpointError(
      f"conv1.weight: found a stem of {stem[2]} x {stem[3]}, expected 7 x 7, "
      "or 3 x 3 as for CIFAR"
    )
  torchvision.add_resnet(build, counts, bottleneck)
  firsts = [build.shape(f"layer{stage}.0.conv1")[0] for stage in (1, 2, 3, 4)]
  model = {
    "name": name,
    "width": _width([stem[0], *firsts], [64, 64, 128, 256, 512]),
    "stem": "imagenet" if stem[2] == 7 else "small",
  }
  if stem[1] == _EDGES:
    model["sobel"] = True
  outputs = build.head("fc")
  return Layout(model, 0, stem[1], build.params, build.batch_stats, outputs)


def _width(widths: Sequence[int], nominal: Sequence[int]) -> float:
  """Returns the factor of all widths: of several the one of fewest digits.

  Args:
    widths: channels of some layers, the widest last.
    nominal: theirs in a network of factor 1.

  Returns:
    The factor; of widths that have none the first layer's, so that one of the
    others is named as it does not fit.
  """
  least, most = widths[0] / nominal[0], widths[-1] / nominal[-1]
  for factor in (least, *(round(most, digits) for digits in range(1, 9))):
    if [scale_width(base, factor) for base in nominal] == list(widths):
      return factor
  return least


def _sequential(found: Found) -> Layout:
  """Returns the layout of a VGG or an AlexNet: numbered layers in a row."""
  build = Builder(found.tensors)
  places = [
    place
    for place in _places(found, "features")
    if len(build.shape(f"features.{place}")) == 4
  ]
  if not places:
    raise CheckpointError("features: found no convolution, expected some")
  shapes = [build.shape(f"features.{place}") for place in places]
  batch_norm = f"features.{places[0] + 1}.running_mean" in found.tensors
  if shapes[0][2] == 11:
    name, width, convs, grid, size = _alexnet(shapes, build)
  else:
    name, width, convs, grid, size = _vgg(places, shapes, batch_norm, build)
  torchvision.add_row(build, convs, places, batch_norm)
  dense = _places(found, "classifier")
  if grid:
    torchvision.add_dense(build, dense, grid)
  last = f"classifier.{dense[2]}" if grid and len(dense) > 2 else ""
  outputs = build.head(last or torchvision.BARE_HEAD)
  model = {"name": name, "width": width}
  if not batch_norm:
    model["batch_norm"] = "none"
  if shapes[0][1] == _EDGES:
    model["sobel"] = True
  return Layout(
    model, size, shapes[0][1], build.params, build.batch_stats, outputs
  )


def _places(found: Found, part: str) -> list[int]:
  """Returns the numbers of the layers of a row that have weights."""
  pattern = re.compile(rf"{part}\.(\d+)\.weight(?:_orig)?")
  matches = map(pattern.fullmatch, found.tensors)
  return sorted({int(match[1]) for match in matches if match})


def _alexnet(shapes, build):
  channels = tuple(shape[0] for shape in shapes)
  name = torchvision.ALEXNETS.get(channels)
  if name is None:
    raise CheckpointError(
      f"found an AlexNet of {list(channels)} channels, expected one of "
      f"{[list(known) for known in torchvision.ALEXNETS]}"
    )
  if not any(key.startswith("classifier.") for key in build.tensors):
    return "alexnet_stages", 1.0, (), 0, _SIDE
  return name, 1.0, (), _ALEXNET_GRID, _SIDE


def _vgg(places, shapes, batch_norm, build):
  """Reads off where the pools are: they take a place each."""
  step = 3 if batch_norm else 2
  convs = [1]
  for before, place in zip(places, places[1:], strict=False):
    if place - before > step:
      convs.append(0)
    convs[-1] += 1
  name = torchvision.VGGS.get(tuple(convs))
  if name is None:
    raise CheckpointError(
      f"found convolutions in groups of {convs}, expected a VGG of one of "
      f"{[list(known) for known in torchvision.VGGS]}, or an AlexNet"
    )
  grid = 0
  if any(key.startswith("classifier.0.") for key in build.tensors):
    first = build.shape("classifier.0")
    if len(first) not in (2, 4):
      raise CheckpointError(
        f"classifier.0.weight: found the shape {first}, expected a matrix"
      )
    cells = (
      first[2] * first[3] if len(first) == 4 else first[1] // shapes[-1][0]
    )
    grid = round(cells**0.5)
    name = "vgg19_dense" if name == "vgg19" else name
  firsts = [shapes[sum(convs[:stage])][0] for stage in range(len(convs))]
  nominal = [min(64 * 2**stage, 512) for stage in range(len(convs))]
  if grid:
    firsts.append(build.shape("classifier.0")[0])
    nominal.append(4096)
  width = _width(firsts, nominal)
  return name, width, convs, grid, grid * _SIDE_OF_STRIDES
