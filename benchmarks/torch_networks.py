"""Our networks as a PyTorch user would write them, with our weights."""

import functools

import numpy as np
import torch
from torch import nn


class _ConvNorm(nn.Module):
  def __init__(self, inputs, outputs, stride=1, kernel=3):
    super().__init__()
    self.conv = nn.Conv2d(
      inputs, outputs, kernel, stride, kernel // 2, bias=False
    )
    self.bn = nn.BatchNorm2d(outputs)

  def forward(self, x):
    return self.bn(self.conv(x))


class ConvNet(nn.Module):
  """Four convolutions, as `models/convnet.py`."""

  def __init__(self, channels, outputs, width=1.0):
    """Makes the layers."""
    super().__init__()
    widths = (channels, *(round(n * width) for n in (16, 32, 64, 64)))
    for i in range(1, 5):
      setattr(self, f"stage{i}", _ConvNorm(widths[i - 1], widths[i]))
    self.head = nn.Linear(widths[-1], outputs)

  def forward(self, x):
    """Maps f32[B,C,H,W] to logits."""
    for i in range(1, 5):
      x = torch.relu(getattr(self, f"stage{i}")(x))
      if i in (2, 3):
        x = nn.functional.max_pool2d(x, 2)
    return self.head(x.mean((2, 3)))


class _Block(nn.Module):
  def __init__(self, inputs, width, stride, bottleneck):
    super().__init__()
    outputs = 4 * width if bottleneck else width
    if bottleneck:
      convs = [(width, 1, 1), (width, stride, 3), (outputs, 1, 1)]
    else:
      convs = [(width, stride, 3), (outputs, 1, 3)]
    self.count, before = len(convs), inputs
    for i, (channels, *rest) in enumerate(convs, 1):
      setattr(self, f"conv{i}", _ConvNorm(before, channels, *rest))
      before = channels
    self.shortcut = None
    if stride != 1 or inputs != outputs:
      self.shortcut = _ConvNorm(inputs, outputs, stride, kernel=1)

  def forward(self, x):
    y = x
    for i in range(1, self.count):
      y = torch.relu(getattr(self, f"conv{i}")(y))
    y = getattr(self, f"conv{self.count}")(y)
    if self.shortcut is not None:
      x = self.shortcut(x)
    return torch.relu(x + y)


class ResNet(nn.Module):
  """A residual network, as `models/resnet.py`."""

  def __init__(self, blocks, bottleneck, channels, outputs, width=1.0):
    """Makes the layers; bottlenecks come with the stem for ImageNet."""
    super().__init__()
    inputs = round(64 * width)
    self.pools, self.blocks = bottleneck, blocks
    self.stem = _ConvNorm(channels, inputs, *((2, 7) if bottleneck else ()))
    for i, count in enumerate(blocks, 1):
      stage, of_stage = nn.Module(), round(64 * 2 ** (i - 1) * width)
      for j in range(1, count + 1):
        stride = 2 if i > 1 and j == 1 else 1
        block = _Block(inputs, of_stage, stride, bottleneck)
        setattr(stage, f"block{j}", block)
        inputs = of_stage * (4 if bottleneck else 1)
      setattr(self, f"stage{i}", stage)
    self.head = nn.Linear(inputs, outputs)

  def forward(self, x):
    """Maps f32[B,C,H,W] to logits."""
    x = torch.relu(self.stem(x))
    if self.pools:
      x = nn.functional.max_pool2d(x, 3, 2, 1)
    for i, count in enumerate(self.blocks, 1):
      for j in range(1, count + 1):
        x = getattr(getattr(self, f"stage{i}"), f"block{j}")(x)
    return self.head(x.mean((2, 3)))


NETWORKS = {
  "convnet": ConvNet,
  "resnet18": functools.partial(ResNet, (2, 2, 2, 2), False),
  "resnet50": functools.partial(ResNet, (3, 4, 6, 3), True),
}
_KINDS = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def load(network, named_params):
  """Copies our params, by name, into a network."""
  own = dict(network.named_parameters())
  for name, leaf in named_params.items():
    *path, kind = name.removeprefix("trunk/").split("/")
    leaf = np.asarray(leaf)
    if leaf.ndim == 4:
      leaf = leaf.transpose(3, 2, 0, 1)
    elif leaf.ndim == 2:
      leaf = leaf.T
    target = own.pop(".".join((*path, _KINDS[kind])))
    target.data.copy_(torch.tensor(leaf))
  assert not own, own.keys()
