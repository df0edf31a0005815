"""Our networks as a PyTorch user would write them, with our weights."""

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
  def __init__(self, inputs, outputs, stride):
    super().__init__()
    self.conv1 = _ConvNorm(inputs, outputs, stride)
    self.conv2 = _ConvNorm(outputs, outputs)
    self.shortcut = None
    if stride != 1 or inputs != outputs:
      self.shortcut = _ConvNorm(inputs, outputs, stride, kernel=1)

  def forward(self, x):
    y = self.conv2(torch.relu(self.conv1(x)))
    if self.shortcut is not None:
      x = self.shortcut(x)
    return torch.relu(x + y)


class ResNet18(nn.Module):
  """ResNet-18 for images of 32 x 32, as `models/resnet.py`."""

  def __init__(self, channels, outputs, width=1.0):
    """Makes the layers."""
    super().__init__()
    inputs = round(64 * width)
    self.stem = _ConvNorm(channels, inputs)
    for i in range(1, 5):
      blocks = nn.Module()
      for j in (1, 2):
        stride = 2 if i > 1 and j == 1 else 1
        outputs_of = round(64 * width) * 2 ** (i - 1)
        setattr(blocks, f"block{j}", _Block(inputs, outputs_of, stride))
        inputs = outputs_of
      setattr(self, f"stage{i}", blocks)
    self.head = nn.Linear(inputs, outputs)

  def forward(self, x):
    """Maps f32[B,C,H,W] to logits."""
    x = torch.relu(self.stem(x))
    for i in range(1, 5):
      stage = getattr(self, f"stage{i}")
      x = stage.block2(stage.block1(x))
    return self.head(x.mean((2, 3)))


NETWORKS = {"convnet": ConvNet, "resnet18": ResNet18}
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
