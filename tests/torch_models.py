"""torchvision's networks, written plainly, with its names of the weights."""

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class Block(nn.Module):
  def __init__(self, inputs, width, stride, bottleneck):
    super().__init__()
    out = 4 * width if bottleneck else width
    sizes = [
      (inputs, width, 1, 1),
      (width, width, 3, stride),
      (width, out, 1, 1),
    ]
    if not bottleneck:
      sizes = [(inputs, width, 3, stride), (width, out, 3, 1)]
    self.count = len(sizes)
    for i, (a, b, kernel, step) in enumerate(sizes, start=1):
      conv = nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False)
      setattr(self, f"conv{i}", conv)
      setattr(self, f"bn{i}", nn.BatchNorm2d(b))
    self.downsample = None
    if stride > 1 or inputs != out:
      self.downsample = nn.Sequential(
        nn.Conv2d(inputs, out, 1, stride, bias=False), nn.BatchNorm2d(out)
      )

  def forward(self, x):
    y = x
    for i in range(1, self.count + 1):
      y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
      y = y if i == self.count else F.relu(y)
    return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
  def __init__(
    self, blocks, bottleneck, width=64, small=False, outputs=10, padding=None
  ):
    super().__init__()
    kernel, stride = (3, 1) if small else (7, 2)
    padding = kernel // 2 if padding is None else padding
    self.small = small
    self.conv1 = nn.Conv2d(3, width, kernel, stride, padding, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    inputs = width
    for i, count in enumerate(blocks):
      stage = []
      for j in range(count):
        step = 2 if i and not j else 1
        stage.append(Block(inputs, width * 2**i, step, bottleneck))
        inputs = width * 2**i * (4 if bottleneck else 1)
      setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
    self.fc = nn.Linear(inputs, outputs)

  def features(self, x):
    x = F.relu(self.bn1(self.conv1(x)))
    x = x if self.small else F.max_pool2d(x, 3, 2, 1)
    for i in range(1, 5):
      x = getattr(self, f"layer{i}")(x)
    return x.mean((2, 3))

  def forward(self, x):
    return self.fc(self.features(x))


class Rows(nn.Module):
  """VGG and AlexNet: layers in a row, then dense ones."""

  def __init__(self, features, grid, channels, dense, dropout_first, outputs):
    super().__init__()
    self.features, self.grid = nn.Sequential(*features), grid
    a, b = nn.Linear(channels * grid**2, dense), nn.Linear(dense, dense)
    last = nn.Linear(dense, outputs)
    row = [a, nn.ReLU(), nn.Dropout(), b, nn.ReLU(), nn.Dropout(), last]
    if dropout_first:
      row = [nn.Dropout(), a, nn.ReLU(), nn.Dropout(), b, nn.ReLU(), last]
    self.classifier = nn.Sequential(*row)

  def forward(self, x):
    x = self.features(x)
    assert x.shape[2] == x.shape[3] == self.grid
    return self.classifier(x.flatten(1))


def vgg(convs, batch_norm, width=64, dense=4096, outputs=10):
  layers, inputs = [], 3
  for i, count in enumerate(convs):
    channels = min(width * 2**i, 8 * width)
    for _ in range(count):
      layers.append(nn.Conv2d(inputs, channels, 3, padding=1))
      layers += [nn.BatchNorm2d(channels)] if batch_norm else []
      layers.append(nn.ReLU())
      inputs = channels
    layers.append(nn.MaxPool2d(2))
  return Rows(layers, 7, inputs, dense, False, outputs)


def alexnet(channels, batch_norm, inputs=3, outputs=10):
  layers = []
  windows = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
  for i, (width, window) in enumerate(zip(channels, windows, strict=True)):
    layers.append(nn.Conv2d(inputs, width, *window))
    layers += [nn.BatchNorm2d(width)] if batch_norm else []
    layers.append(nn.ReLU())
    layers += [nn.MaxPool2d(3, 2)] if i in (0, 1, 4) else []
    inputs = width
  return Rows(layers, 6, inputs, 4096, True, outputs)


def draw(network):
  """Gives a network weights and statistics that are not 0 and 1."""
  torch.manual_seed(0)
  for module in network.modules():
    if isinstance(module, nn.BatchNorm2d):
      for tensor, low, high in (
        (module.weight, 0.5, 1.5),
        (module.bias, -0.5, 0.5),
        (module.running_mean, -0.5, 0.5),
        (module.running_var, 0.5, 2.0),
      ):
        nn.init.uniform_(tensor, low, high)
    elif isinstance(module, nn.Conv2d | nn.Linear):
      nn.init.kaiming_normal_(module.weight)
      if module.bias is not None:
        nn.init.uniform_(module.bias, -0.1, 0.1)
  return network.eval()
