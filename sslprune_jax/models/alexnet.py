"""AlexNet with batch norm, as RotNet and DeepCluster train it.

Reference: Krizhevsky et al. 2012, without groups, with batch norm after every
layer in place of local response normalisation.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sslprune_jax.models.layers import (
  ConvNorm,
  DenseNorm,
  check_size,
  max_pool,
  maybe_remat,
  scale_width,
)

# Width, kernel, stride, padding; pooled after the first, second and fifth.
_CONVS = ((96, 11, 4, 2), (256, 5, 1, 2), (384, 3, 1, 1), (384, 3, 1, 1))
_CONVS += ((256, 3, 1, 1),)


class AlexNet(nn.Module):
  """Five convolutions and two fully connected layers; no dropout.

  `width` is a factor of all channels.
  """

  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Maps `f32[B,H,W,C]` to the named endpoints."""
    check_size("alexnet", x, 63)
    shared = {"dtype": self.dtype, "axis_name": self.axis_name}
    endpoints = {}
    for i, (channels, *window) in enumerate(_CONVS, start=1):
      channels = scale_width(channels, self.width)
      x = maybe_remat(ConvNorm, self.remat)(
        channels, *window, **shared, name=f"stage{i}"
      )(x, train)
      endpoints[f"stage{i}"] = x
      if i in (1, 2, 5):
        x = max_pool(x, padding=0)
    x = x.reshape(x.shape[0], -1)
    for i in (6, 7):
      x = maybe_remat(DenseNorm, self.remat)(
        scale_width(4096, self.width), **shared, name=f"fc{i}"
      )(x, train)
    return {**endpoints, "features": x.astype(jnp.float32)}
