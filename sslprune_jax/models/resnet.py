"""Residual networks: ResNet-18 for CIFAR, and ImageNet's 34, 50 and 101.

Reference: He et al. 2016, arXiv 1512.03385; ResNet-50 strides in the 3 x 3
convolution, as torchvision's does.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sslprune_jax.models.layers import (
  ConvNorm,
  average,
  check_size,
  max_pool,
  maybe_remat,
  scale_width,
  write_once,
)


class Block(nn.Module):
  """A residual block: basic (two 3 x 3), or a bottleneck (1 x 1, 3 x 3, 1 x 1).

  Attributes:
    width: channels of the 3 x 3 convolutions; a bottleneck ends four times as
      wide.
    stride: stride of the block.
    bottleneck: kind of the block.
    projected: whether the shortcut is a convolution. It is by the place of the
      block: the widths of a shrunk network do not say.
    padding: "same", or "": see `ResNet`.
    dtype: dtype of the compute.
    axis_name: mapped axis over which batch norm averages.
  """

  width: int
  stride: int
  bottleneck: bool
  projected: bool
  padding: str
  dtype: Any
  axis_name: str | None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps `[B,H,W,C]` to `[B,H/stride,W/stride,C']`."""

    def conv(name, width, kernel=3, stride=1, relu=True):
      return ConvNorm(
        width,
        kernel,
        stride,
        padding=self.padding.upper() or kernel // 2,
        relu=relu,
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=name,
      )

    out = 4 * self.width if self.bottleneck else self.width
    if self.bottleneck:
      y = write_once(conv("conv1", self.width, kernel=1)(x, train))
      y = write_once(conv("conv2", self.width, stride=self.stride)(y, train))
      y = conv("conv3", out, kernel=1, relu=False)(y, train)
    else:
      y = write_once(conv("conv1", self.width, stride=self.stride)(x, train))
      y = conv("conv2", out, relu=False)(y, train)
    if self.projected:
      x = conv("shortcut", out, kernel=1, stride=self.stride, relu=False)(
        x, train
      )
    return write_once(nn.relu(x + y))


class ResNet(nn.Module):
  """A residual network.

  Attributes:
    name_: its name in `models.build`, for errors.
    blocks: number of blocks of each stage.
    bottleneck: the kind of the blocks.
    stem: "small", a 3 x 3 convolution, as for CIFAR; or "imagenet", a 7 x 7 one
      of stride 2 and pooling.
    stem_padding: padding of the stem's convolution; -1: half its kernel.
    padding: "same", as Flax pads, or "", as PyTorch does.
    width: factor of all channels.
    dtype: dtype of the compute.
    axis_name: mapped axis over which batch norm averages.
    remat: whether blocks are computed twice; see `models.build`.
  """

  name_: str
  blocks: Sequence[int]
  bottleneck: bool
  stem: str
  stem_padding: int = -1
  padding: str = ""
  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Maps `f32[B,H,W,C]` to the named endpoints."""
    small = self.stem == "small"
    check_size(self.name_, x, 8 if small else 32)
    kernel, stride = (3, 1) if small else (7, 2)
    own = kernel // 2 if self.stem_padding < 0 else self.stem_padding
    x = ConvNorm(
      scale_width(64, self.width),
      kernel,
      stride,
      padding=own,
      dtype=self.dtype,
      axis_name=self.axis_name,
      name="stem",
    )(x, train)
    x = write_once(x)
    if not small:
      x = max_pool(x, padding=self.padding.upper() or 1)
    endpoints = {}
    for i, blocks in enumerate(self.blocks, start=1):
      x = Stage(
        blocks,
        scale_width(64 * 2 ** (i - 1), self.width),
        1 if i == 1 else 2,
        self.bottleneck,
        self.padding,
        self.dtype,
        self.axis_name,
        self.remat,
        name=f"stage{i}",
      )(x, train)
      endpoints[f"stage{i}"] = x
    return {**endpoints, "features": average(x)}


class Stage(nn.Module):
  """Blocks of one width, of which the first strides; attributes as `Block`."""

  blocks: int
  width: int
  stride: int
  bottleneck: bool
  padding: str
  dtype: Any
  axis_name: str | None
  remat: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Runs the blocks."""
    for i in range(1, self.blocks + 1):
      stride = self.stride if i == 1 else 1
      x = maybe_remat(Block, self.remat)(
        self.width,
        stride,
        self.bottleneck,
        i == 1 and (stride != 1 or self.bottleneck),
        self.padding,
        self.dtype,
        self.axis_name,
        name=f"block{i}",
      )(x, train)
    return x


def resnet18(stem: str = "small", **settings: Any) -> ResNet:
  """Makes the trunk, by default for CIFAR's images; settings as `ResNet`'s."""
  return ResNet("resnet18", (2, 2, 2, 2), False, stem, **settings)


def resnet34(stem: str = "imagenet", **settings: Any) -> ResNet:
  """Makes the trunk, by default for ImageNet's; settings as `ResNet`'s."""
  return ResNet("resnet34", (3, 4, 6, 3), False, stem, **settings)


def resnet50(stem: str = "imagenet", **settings: Any) -> ResNet:
  """Makes the trunk, by default for ImageNet's; settings as `ResNet`'s."""
  return ResNet("resnet50", (3, 4, 6, 3), True, stem, **settings)


def resnet101(stem: str = "imagenet", **settings: Any) -> ResNet:
  """Makes the trunk, by default for ImageNet's; settings as `ResNet`'s."""
  return ResNet("resnet101", (3, 4, 23, 3), True, stem, **settings)
