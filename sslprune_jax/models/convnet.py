"""A small convnet for images of 8 x 8 to 32 x 32."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sslprune_jax.models.layers import (
  ConvNorm,
  average,
  check_size,
  max_pool_2x2,
  maybe_remat,
  scale_width,
)


class ConvNet(nn.Module):
  """Four 3 x 3 convolutions (16, 32, 64, 64) with batch norm.

  Pooled after the second and third, averaged over space at the end: 8 x 8
  digits are seen whole by the last layer, and Fashion-MNIST is cheap enough for
  two CPU cores. `width` is a factor of all channels.
  """

  width: float = 1.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Maps `f32[B,H,W,C]` to the named endpoints."""
    check_size("convnet", x, 4)
    endpoints = {}
    for i, channels in enumerate((16, 32, 64, 64), start=1):
      x = maybe_remat(ConvNorm, self.remat)(
        scale_width(channels, self.width),
        dtype=self.dtype,
        axis_name=self.axis_name,
        name=f"stage{i}",
      )(x, train)
      endpoints[f"stage{i}"] = x
      if i in (2, 3):
        x = max_pool_2x2(x)
    return {**endpoints, "features": average(x)}
