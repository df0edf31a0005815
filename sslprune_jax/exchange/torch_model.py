"""The network of `model.safetensors`, of whatever widths, in plain PyTorch.

`load()` reads it, strictly; it maps images f32[batch, channels, height, width]
to logits, or to features without a head. What images hold,
`config.json` says. It needs torch and safetensors; sslprune_jax wrote it.
"""

import pathlib

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

SETTINGS: dict = {}  # What the weights do not say: an export fills it in.


def load(folder=pathlib.Path(__file__).parent):
  """Returns the network of a folder, in evaluation mode."""
  weights = load_file(folder / "model.safetensors")
  shapes = {name: tuple(array.shape) for name, array in weights.items()}
  network = (ResNet if "conv1.weight" in shapes else Row)(shapes)
  network.load_state_dict(weights, strict=True)
  return network.eval()


def pad_same(x, window, stride, value=0.0):
  """Pads images as TensorFlow and Flax do: more after than before."""
  sides = []
  for size in x.shape[:1:-1]:
    lost = max((-(-size // stride) - 1) * stride + window - size, 0)
    sides += [lost // 2, lost - lost // 2]
  return F.pad(x, sides, value=value)


class Conv(nn.Conv2d):
  """A convolution of the shape of its weights."""

  def __init__(self, shape, stride=1, same=False, bias=False, padding=None):
    if padding is None:
      padding = 0 if same else shape[2] // 2
    super().__init__(*shape[1::-1], shape[2:], stride, padding, bias=bias)
    self.same = same

  def forward(self, x):
    """Maps images to images."""
    if self.same:
      x = pad_same(x, self.kernel_size[0], self.stride[0])
    return super().forward(x)


class Network(nn.Module):
  """What stands in front of every network: nothing, unless settings say so."""

  def __init__(self):
    super().__init__()
    for name in ("mean", "std"):
      numbers = torch.tensor(SETTINGS[name]).reshape(1, -1, 1, 1)
      self.register_buffer(name, numbers, persistent=False)

  def prepare(self, x):
    """Maps images to what the first convolution reads."""
    x = (x - self.mean) / self.std if SETTINGS["in_front"] else x
    if SETTINGS["sobel"]:
      # Fixed: how much brighter it is to the left, and above.
      left = x.new_tensor([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
      filters = torch.stack([left, left.T])[:, None]
      x = F.conv2d(x.mean(1, keepdim=True), filters, padding=1)
    return x


class Block(nn.Module):
  """A residual block of two convolutions, or of three."""

  def __init__(self, shapes, name, stride, same):
    super().__init__()
    self.count = 3 if f"{name}.conv3.weight" in shapes else 2
    for n in range(1, self.count + 1):
      shape = shapes[f"{name}.conv{n}.weight"]
      step = stride if n == self.count - 1 else 1
      setattr(self, f"conv{n}", Conv(shape, step, same))
      setattr(self, f"bn{n}", nn.BatchNorm2d(shape[0]))
    shape = shapes.get(f"{name}.downsample.0.weight")
    self.downsample = shape and nn.Sequential(
      Conv(shape, stride, same), nn.BatchNorm2d(shape[0])
    )

  def forward(self, x):
    """Maps images to images."""
    y = x
    for n in range(1, self.count + 1):
      y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
      y = F.relu(y) if n < self.count else y
    return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(Network):
  """A ResNet by torchvision's names."""

  def __init__(self, shapes):
    super().__init__()
    same, shape = SETTINGS["same"], shapes["conv1.weight"]
    own = SETTINGS["stem_padding"]
    self.small, self.same = shape[2] == 3, same
    stride, padding = 1 if self.small else 2, None if own < 0 else own
    self.conv1 = Conv(shape, stride, padding=padding)
    self.bn1 = nn.BatchNorm2d(shape[0])
    for i in range(1, 5):
      names = {k.split(".")[1] for k in shapes if k.startswith(f"layer{i}.")}
      blocks = [
        Block(shapes, f"layer{i}.{j}", 2 if i > 1 and not j else 1, same)
        for j in range(len(names))
      ]
      setattr(self, f"layer{i}", nn.Sequential(*blocks))
    head = shapes.get("fc.weight")
    self.fc = nn.Linear(*head[::-1]) if head else nn.Identity()

  def forward(self, x):
    """Maps images to logits."""
    x = F.relu(self.bn1(self.conv1(self.prepare(x))))
    if not self.small and self.same:
      x = F.max_pool2d(pad_same(x, 3, 2, -torch.inf), 3, 2)
    elif not self.small:
      x = F.max_pool2d(x, 3, 2, 1)
    for i in range(1, 5):
      x = getattr(self, f"layer{i}")(x)
    return self.fc(x.mean((2, 3)))


class Halve(nn.Module):
  """A maximum over 2 x 2, where there is more than a pixel."""

  def forward(self, x):
    """Maps images to images."""
    return F.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x


class Row(Network):
  """A VGG or an AlexNet by torchvision's names."""

  def __init__(self, shapes):
    super().__init__()
    self.is_alexnet = shapes["features.0.weight"][2] == 11
    self.features, self.classifier = nn.Sequential(), nn.Sequential()
    for place in range(count(shapes, "features") + 2):
      shape = shapes.get(f"features.{place}.weight")
      if shape and len(shape) == 4:
        stem = {"stride": 4, "padding": 2} if shape[2] == 11 else {}
        layer = Conv(shape, bias=True, **stem)
      elif shape:
        layer = nn.BatchNorm2d(shape[0])
      elif not isinstance(layer, nn.ReLU):
        layer = nn.ReLU()
      else:
        layer = nn.MaxPool2d(3, 2) if self.is_alexnet else Halve()
      self.features.append(layer)
    # Without a head it ends in a ReLU.
    last = count(shapes, "classifier")
    for place in range(last and last + (not SETTINGS["head"])):
      shape = shapes.get(f"classifier.{place}.weight")
      is_read = isinstance(layer, nn.Linear)
      layer = nn.ReLU() if is_read else nn.Dropout()
      layer = nn.Linear(*shape[::-1]) if shape else layer
      self.classifier.append(layer)
    head = shapes.get("top_layer.weight")
    if head:
      self.top_layer = nn.Linear(*head[::-1])

  def forward(self, x):
    """Maps images to logits."""
    x = self.features(self.prepare(x))
    if len(self.classifier):
      return self.classifier(x.flatten(1))
    # The head reads the average, or all pixels, channels last.
    x = x.permute(0, 2, 3, 1).flatten(1) if self.is_alexnet else x.mean((2, 3))
    return self.top_layer(x) if hasattr(self, "top_layer") else x


def count(shapes, part):
  """Returns the places of a row up to its last one with weights."""
  places = [k.split(".")[1] for k in shapes if k.startswith(f"{part}.")]
  return max(map(int, places), default=-1) + 1
