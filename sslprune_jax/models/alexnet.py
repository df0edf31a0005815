"""AlexNet without groups, with batch norm in place of response normalisation.

Reference: Krizhevsky et al. 2012; as in the code of DeepCluster (Caron et al.
2018), the paper's author's own, or of RotNet (Gidaris et al. 2018).
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
  DenseNorm,
  check_size,
  max_pool,
  maybe_remat,
  scale_width,
  width_of,
)

# Kernel, stride, padding; pooled after the first, second and fifth.
_WINDOWS = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))


class AlexNet(nn.Module):
  """Five convolutions with biases and batch norm, and two dense layers.

  Attributes:
    name_: its name in `models.build`, for errors.
    channels: channels of each convolution.
    dense: whether there are the two dense layers; without, the last grid is
      what is read.
    dense_norm: whether the dense layers have batch norm, and neither biases nor
      dropout.
    dropout: share of what each of them reads that is dropped, in training.
    batch_norm: whether the convolutions have batch norm.
    width: factor of all channels.
    dtype: dtype of the compute.
    axis_name: mapped axis over which batch norm averages.
    remat: whether convolutions are computed twice; see `models.build`.
  """

  name_: str
  channels: Sequence[int]
  dense_norm: bool
  dense: bool = True
  dropout: float = 0.5
  batch_norm: bool = True
  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  @property
  def head_init(self) -> nn.initializers.Initializer:
    """Initializer of a linear head's kernel."""
    return DENSE_INIT if self.dense_norm else FC_INIT

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Maps `f32[B,H,W,C]` to the named endpoints."""
    check_size(self.name_, x, 63)
    shared = {"dtype": self.dtype, "axis_name": self.axis_name}
    endpoints = {}
    for i, window in enumerate(_WINDOWS, start=1):
      channels = scale_width(self.channels[i - 1], self.width)
      x = maybe_remat(ConvNorm, self.remat)(
        channels,
        *window,
        use_bias=True,
        use_norm=self.batch_norm,
        **shared,
        name=f"stage{i}",
      )(x, train)
      endpoints[f"stage{i}"] = x
      if i in (1, 2, 5):
        x = max_pool(x, padding=0)
    x = x.reshape(x.shape[0], -1)
    if not self.dense:
      return {**endpoints, "features": x.astype(jnp.float32)}
    outputs = scale_width(4096, self.width)
    for i in (6, 7):
      if self.dense_norm:
        before = DenseNorm(outputs, **shared, name=f"fc{i}")(x, train)
      else:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        before = nn.Dense(
          width_of(self, f"fc{i}", outputs),
          kernel_init=FC_INIT,
          dtype=self.dtype,
          name=f"fc{i}",
        )(x)
      x = nn.relu(before)
    return {
      **endpoints,
      "preactivation": before.astype(jnp.float32),
      "features": x.astype(jnp.float32),
    }


def alexnet(**settings: Any) -> AlexNet:
  """Makes DeepCluster's trunk; settings as `AlexNet`'s."""
  return AlexNet("alexnet", (96, 256, 384, 384, 256), False, **settings)


def alexnet_stages(**settings: Any) -> AlexNet:
  """Makes DeepCluster's convolutions alone, as VISSL's trunk has them."""
  channels = (96, 256, 384, 384, 256)
  return AlexNet("alexnet_stages", channels, False, dense=False, **settings)


def alexnet_torchvision(**settings: Any) -> AlexNet:
  """Makes torchvision's trunk, with batch norm or without, as its weights are.

  Settings as `AlexNet`'s. Krizhevsky 2014, arXiv 1404.5997.
  """
  channels = (64, 192, 384, 256, 256)
  return AlexNet("alexnet_torchvision", channels, False, **settings)


def alexnet_rotnet(**settings: Any) -> AlexNet:
  """Makes RotNet's trunk; settings as `AlexNet`'s."""
  return AlexNet("alexnet_rotnet", (64, 192, 384, 256, 256), True, **settings)
