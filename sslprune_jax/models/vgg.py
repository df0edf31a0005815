"""VGG with batch norm: VGG-19 for CIFAR and VGG-16 for ImageNet.

Reference: Simonyan & Zisserman 2015, arXiv 1409.1556. Convolutions keep their
biases, so that parameter counts are the published ones.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sslprune_jax.models.layers import (
  DENSE_INIT,
  FC_INIT,
  ConvNorm,
  average,
  check_size,
  max_pool_2x2,
  maybe_remat,
  scale_width,
  width_of,
)


class VGG(nn.Module):
  """A VGG network; each stage ends in a 2 x 2 max-pool.

  Attributes:
    name_: its name in `models.build`, for errors.
    convs: convolutions of each stage.
    dense: widths of the fully connected layers before the head. Without any,
      the last stage is averaged over space: on 32 x 32 images that is one
      pixel, and 28 x 28 images keep theirs by leaving out the last pool.
    dropout: share of what is dropped between them, in training.
    batch_norm: whether convolutions have batch norm.
    width: factor of all channels.
    dtype: dtype of the compute.
    axis_name: mapped axis over which batch norm averages.
    remat: whether blocks are computed twice; see `models.build`.
  """

  name_: str
  convs: Sequence[int]
  dense: Sequence[int] = ()
  dropout: float = 0.5
  batch_norm: bool = True
  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  @property
  def head_init(self) -> nn.initializers.Initializer:
    """Initializer of a linear head's kernel."""
    return FC_INIT if self.dense else DENSE_INIT

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Maps `f32[B,H,W,C]` to the named endpoints."""
    check_size(self.name_, x, 32 if self.dense else 16)
    endpoints = {}
    for i, convs in enumerate(self.convs, start=1):
      channels = scale_width(min(64 * 2 ** (i - 1), 512), self.width)
      for j in range(1, convs + 1):
        x = maybe_remat(ConvNorm, self.remat)(
          channels,
          use_bias=True,
          use_norm=self.batch_norm,
          dtype=self.dtype,
          axis_name=self.axis_name,
          name=f"stage{i}_conv{j}",
        )(x, train)
      endpoints[f"stage{i}"] = x
      if min(x.shape[1:3]) > 1:
        x = max_pool_2x2(x)
    if not self.dense:
      return {**endpoints, "features": average(x)}
    x = x.reshape(x.shape[0], -1)
    for i, outputs in enumerate(self.dense):
      name = f"fc{len(self.convs) + 1 + i}"
      if i:
        x = nn.relu(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
      x = nn.Dense(
        width_of(self, name, scale_width(outputs, self.width)),
        kernel_init=FC_INIT,
        dtype=self.dtype,
        name=name,
      )(x)
    x = x.astype(jnp.float32)
    return {**endpoints, "preactivation": x, "features": nn.relu(x)}


def vgg16(**settings: Any) -> VGG:
  """Makes DeepCluster's trunk, with two dense layers; settings as `VGG`'s.

  Its own code: batch norm after convolutions alone, dropout between the dense
  layers, initialised from N(0, 0.01).
  """
  return VGG("vgg16", (2, 2, 3, 3, 3), (4096, 4096), **settings)


def vgg19(**settings: Any) -> VGG:
  """Makes the trunk without dense layers; settings as `VGG`'s."""
  return VGG("vgg19", (2, 2, 4, 4, 4), **settings)


def vgg19_dense(**settings: Any) -> VGG:
  """Makes the trunk with its two dense layers; settings as `VGG`'s."""
  return VGG("vgg19_dense", (2, 2, 4, 4, 4), (4096, 4096), **settings)
