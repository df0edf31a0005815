"""The networks against PyTorch, with the same weights, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import models
from sslprune_jax.runtime.trees import named_leaves

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Twin:
  """The networks written plainly in PyTorch over our named weights."""

  def __init__(self, variables, train):
    self.train = train
    self.weights = {
      name: torch.tensor(np.array(leaf), requires_grad=True)
      for name, leaf in named_leaves(variables["params"]).items()
    }
    self.stats = {
      name: torch.tensor(np.array(leaf))
      for name, leaf in named_leaves(variables["batch_stats"]).items()
    }

  def conv(self, x, name, stride=1, relu=True, padding=None):
    kernel = self.weights[f"trunk/{name}/conv/kernel"].permute(3, 2, 0, 1)
    bias = self.weights.get(f"trunk/{name}/conv/bias")
    padding = kernel.shape[-1] // 2 if padding is None else padding
    x = self.norm(F.conv2d(x, kernel, bias, stride, padding), name)
    return F.relu(x) if relu else x

  def norm(self, x, name):
    at = f"trunk/{name}/bn/"
    return F.batch_norm(
      x,
      self.stats[at + "mean"].clone(),
      self.stats[at + "var"].clone(),
      self.weights[at + "scale"],
      self.weights[at + "bias"],
      training=self.train,
      eps=1e-5,
    )

  def dense(self, x, name):
    kernel = self.weights[f"{name}/kernel"]
    return F.linear(x, kernel.T, self.weights.get(f"{name}/bias"))

  def resnet(self, x, blocks, small):
    x = self.conv(x, "stem", stride=1 if small else 2)
    if not small:
      x = F.max_pool2d(x, 3, 2, 1)
    for i, count in enumerate(blocks, start=1):
      for j in range(1, count + 1):
        at, stride = f"stage{i}/block{j}/", 2 if i > 1 and j == 1 else 1
        if f"trunk/{at}conv3/conv/kernel" not in self.weights:
          y = self.conv(x, at + "conv1", stride)
          y = self.conv(y, at + "conv2", relu=False)
        else:
          y = self.conv(x, at + "conv1")
          y = self.conv(y, at + "conv2", stride)
          y = self.conv(y, at + "conv3", relu=False)
        if f"trunk/{at}shortcut/conv/kernel" in self.weights:
          x = self.conv(x, at + "shortcut", stride, relu=False)
        x = F.relu(x + y)
    return self.dense(x.mean((2, 3)), "head")

  def vgg(self, x, convs, dense):
    for i, count in enumerate(convs, start=1):
      for j in range(1, count + 1):
        x = self.conv(x, f"stage{i}_conv{j}")
      x = F.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)  # Ours flattens channels last.
    for name in dense:
      x = F.relu(self.dense(x, f"trunk/{name}"))
    return self.dense(x, "head")

  def alexnet(self, x):
    for i, (stride, padding) in enumerate(
      ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1)), start=1
    ):
      x = self.conv(x, f"stage{i}", stride, padding=padding)
      if i in (1, 2, 5):
        x = F.max_pool2d(x, 3, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    for i in (6, 7):
      if f"trunk/fc{i}/kernel" in self.weights:
        x = F.relu(self.dense(x, f"trunk/fc{i}"))
      else:
        x = F.relu(self.norm(self.dense(x, f"trunk/fc{i}/dense"), f"fc{i}"))
    return self.dense(x, "head")


NETWORKS = {
  "resnet18 imagenet": (
    64,
    lambda t, x: t.resnet(x, (2, 2, 2, 2), small=False),
  ),
  "resnet18": (32, lambda t, x: t.resnet(x, (2, 2, 2, 2), small=True)),
  "resnet50": (64, lambda t, x: t.resnet(x, (3, 4, 6, 3), small=False)),
  "vgg19": (32, lambda t, x: t.vgg(x, (2, 2, 4, 4, 4), ())),
  "vgg16": (32, lambda t, x: t.vgg(x, (2, 2, 3, 3, 3), ("fc6", "fc7"))),
  "alexnet": (63, lambda t, x: t.alexnet(x)),
  "alexnet_rotnet": (63, lambda t, x: t.alexnet(x)),
}


def _drawn(name, size):
  """Returns a network, variables with statistics that are not 0 and 1."""
  name, _, stem = name.partition(" ")
  network = models.build(name, 10, stem=stem)
  if hasattr(network.trunk, "dropout"):  # PyTorch would drop others.
    network = network.clone(trunk=network.trunk.clone(dropout=0.0))
  rng = np.random.default_rng(0)
  images = rng.normal(size=(4, size, size, 3)).astype(np.float32)
  variables = jax.jit(lambda k: network.init(k, images, train=False))(
    jax.random.key(0)
  )
  stats = jax.tree.map(
    lambda x: (x + 0.2 * rng.random(x.shape)).astype(np.float32),
    variables["batch_stats"],
  )
  return network, {**variables, "batch_stats": stats}, images


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_is_pytorchs(name, train):
  size, forward = NETWORKS[name]
  network, variables, images = _drawn(name, size)
  logits = jax.jit(
    lambda v, x: network.apply(v, x, train=train, mutable=["batch_stats"])
  )(variables, images)[0]["logits"]
  with torch.no_grad():
    expected = forward(
      Twin(variables, train), torch.tensor(images).permute(0, 3, 1, 2)
    ).numpy()
  scale = np.abs(expected).max()
  np.testing.assert_allclose(logits, expected, atol=2e-3 * scale)


def test_gradients_are_pytorchs():
  network, variables, images = _drawn("resnet18", 16)

  def loss(params):
    outputs, _ = network.apply(
      {**variables, "params": params},
      images,
      train=True,
      mutable=["batch_stats"],
    )
    return jnp.square(outputs["logits"]).sum()

  found = named_leaves(jax.jit(jax.grad(loss))(variables["params"]))
  twin = Twin(variables, train=True)
  logits = NETWORKS["resnet18"][1](
    twin, torch.tensor(images).permute(0, 3, 1, 2)
  )
  logits.square().sum().backward()
  for name, leaf in found.items():
    expected = twin.weights[name].grad.numpy()
    scale = np.abs(expected).max() + 1e-3
    np.testing.assert_allclose(leaf, expected, atol=5e-3 * scale, err_msg=name)
