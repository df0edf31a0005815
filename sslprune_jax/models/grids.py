"""What a classifier reads of a layer: features, or a stage, averaged to a grid.

Reference: Goyal et al. 2019, arXiv 1905.01235, section 5, and its code.
"""

import chex
import jax
import jax.numpy as jnp

_MOST_READ = 9000  # numbers an image, about
# Of ResNet-50's stages for images of 224 x 224, by their shape: side of the
# window, and stride. They leave 9216, 8192, 9216 and 8192 numbers.
_WINDOWS = {
  (56, 56, 256): (16, 8),
  (28, 28, 512): (13, 5),
  (14, 14, 1024): (8, 3),
  (7, 7, 2048): (6, 1),
}


def readout(outputs: dict[str, jax.Array], layer: str) -> jax.Array:
  """Returns what a classifier reads of a layer, as rows.

  Args:
    outputs: endpoints of a network.
    layer: the name of an endpoint.

  Returns:
    f32[B,F]: a grid is flattened, its channels last.

  Raises:
    ValueError: there is no such endpoint.
  """
  grid = read_grid(outputs, layer)
  return grid.reshape(len(grid), -1)


def read_grid(outputs: dict[str, jax.Array], layer: str) -> jax.Array:
  """Returns what a classifier reads of a layer, its channels apart.

  The features as they are. A stage is averaged over a grid that leaves about
  9,000 numbers: ResNet-50's on images of 224 x 224 over the windows of the
  reference, others over bins.

  Args:
    outputs: endpoints of a network.
    layer: the name of an endpoint.

  Returns:
    f32[B,F] or f32[B,H,W,C].

  Raises:
    ValueError: there is no such endpoint.
  """
  if layer not in outputs:
    raise ValueError(f"found {layer!r}, expected one of {sorted(outputs)}")
  x = outputs[layer].astype(jnp.float32)
  chex.assert_rank(x, {2, 4}, custom_message=layer)
  if x.ndim == 2:
    return x
  if x.shape[1:] in _WINDOWS:
    side, stride = _WINDOWS[x.shape[1:]]
    window = (1, side, side, 1)
    total = jax.lax.reduce_window(
      x, 0.0, jax.lax.add, window, (1, stride, stride, 1), "valid"
    )
    return total / side**2
  rows, columns = _bins(x.shape[1:])
  return adaptive_pool(adaptive_pool(x, rows, axis=1), columns, axis=2)


def pooling(shape: tuple[int, ...]) -> str:
  """Says how an endpoint is averaged, in words.

  Args:
    shape: shape of the endpoint for an image: (F,) or (H, W, C).

  Returns:
    Such as "windows of 16 every 8", "bins, 6 x 6"; "" for features.
  """
  if len(shape) == 1:
    return ""
  if shape in _WINDOWS:
    side, stride = _WINDOWS[shape]
    return f"windows of {side} every {stride}"
  rows, columns = _bins(shape)
  return f"bins, {rows} x {columns}"


def _bins(shape: tuple[int, int, int]) -> tuple[int, int]:
  side = max(1, round((_MOST_READ / shape[-1]) ** 0.5))
  return min(side, shape[0]), min(side, shape[1])


def adaptive_pool(x: jax.Array, size: int, axis: int) -> jax.Array:
  """Averages an axis of length L down to `size` bins.

  Bin i covers floor(i L / size) to ceil((i + 1) L / size) - 1, so that bins may
  share a row: PyTorch's adaptive average pooling.
  """
  chex.assert_rank(x, 4, custom_message="x")
  length = x.shape[axis]
  first = [i * length // size for i in range(size)]
  last = [-(-(i + 1) * length // size) for i in range(size)]
  parts = [
    jax.lax.slice_in_dim(x, a, b, axis=axis).mean(axis, keepdims=True)
    for a, b in zip(first, last, strict=True)
  ]
  return jnp.concatenate(parts, axis)
