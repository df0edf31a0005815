"""What the networks are made of: convolution, batch norm, pooling."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.extend as jex
import jax.numpy as jnp
from jax.interpreters import ad, batching, mlir

# torchvision's initializers: He et al. 2015 over the fan-out for convolutions,
# and PyTorch's default, uniform within 1 / sqrt(fan-in), for dense layers.
CONV_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
DENSE_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# That of DeepCluster's AlexNet and VGG-16, in every dense layer.
FC_INIT = nn.initializers.normal(0.01)


class ConvNorm(nn.Module):
  """Convolution, batch norm and ReLU; by default all three.

  Attributes:
    width: output channels.
    kernel: side of the kernel.
    stride: stride of the convolution.
    padding: on each side, as PyTorch pads, or "SAME", as Flax does: it decides
      what a stride of 2 sees.
    use_bias: whether the convolution has a bias; batch norm makes it redundant.
    use_norm: whether batch norm follows.
    relu: whether ReLU follows.
    dtype: dtype of the compute; parameters and statistics are float32.
    axis_name: mapped axis over which batch norm averages its statistics; None:
      per device.
  """

  width: int
  kernel: int = 3
  stride: int = 1
  padding: int | str = 1
  use_bias: bool = False
  use_norm: bool = True
  relu: bool = True
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps `[B,H,W,C]` to `[B,H',W',width]`."""
    x = nn.Conv(
      width_of(self, "conv", self.width),
      (self.kernel, self.kernel),
      strides=self.stride,
      padding=self.padding,
      use_bias=self.use_bias,
      kernel_init=CONV_INIT,
      dtype=self.dtype,
      name="conv",
    )(x)
    if self.use_norm:
      x = norm(self.dtype, self.axis_name, train)(x)
    return nn.relu(x) if self.relu else x


class DenseNorm(nn.Module):
  """Dense layer without bias, and batch norm; attributes as in `ConvNorm`."""

  width: int
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps `[B,F]` to `[B,width]`."""
    x = nn.Dense(
      width_of(self, "dense", self.width),
      use_bias=False,
      kernel_init=DENSE_INIT,
      dtype=self.dtype,
      name="dense",
    )(x)
    return norm(self.dtype, self.axis_name, train)(x)


def width_of(module: nn.Module, layer: str, nominal: int) -> int:
  """Returns the outputs of a layer: those of its params, where it has some.

  So a network is applied to params of which channels were sliced out.

  Args:
    module: module that the layer is made in, bound.
    layer: name of the layer in it.
    nominal: outputs that its params are drawn with.
  """
  if not module.has_variable("params", layer):
    return nominal
  return module.get_variable("params", layer)["kernel"].shape[-1]


def norm(dtype: Any, axis_name: str | None, train: bool) -> nn.BatchNorm:
  """Returns batch norm with PyTorch's momentum and epsilon, named `bn`."""
  return nn.BatchNorm(
    use_running_average=not train,
    momentum=0.9,
    epsilon=1e-5,
    dtype=dtype,
    axis_name=axis_name if train else None,
    name="bn",
  )


def _make_write_once() -> jex.core.Primitive:
  # `lax.platform_dependent` would do, but leaves a case in other platforms'
  # text for each barrier that they do not have.
  primitive = jex.core.Primitive("write_once")
  primitive.def_impl(lambda x: x)
  primitive.def_abstract_eval(lambda x: x)
  ad.deflinear2(primitive, lambda cotangent, x: [primitive.bind(cotangent)])
  batching.defvectorized(primitive)
  barrier = mlir.lower_fun(jax.lax.optimization_barrier, multiple_results=False)
  mlir.register_lowering(primitive, barrier, platform="cpu")
  mlir.register_lowering(primitive, lambda context, x: [x])
  return primitive


_WRITE_ONCE = _make_write_once()


def write_once(x: jax.Array) -> jax.Array:
  """Lets XLA on a CPU write an activation to memory, and its gradient.

  Else the gradient of each kernel of a residual network computes them again
  from all that the network added up to there, at the stride of a transpose.
  The barrier is kept by a flag (`environment`); elsewhere there is none.

  Args:
    x: array of any dtype and shape.

  Returns:
    `x`.
  """
  return _WRITE_ONCE.bind(x)


def maybe_remat(module: type[nn.Module], remat: bool) -> type[nn.Module]:
  """Wraps a module of `(x, train)` in `nn.remat` if `remat` is set.

  The forward pass then keeps its input alone, and the backward pass computes
  the rest again.
  """
  return nn.remat(module, static_argnums=(2,)) if remat else module


def scale_width(channels: int, width: float) -> int:
  """Returns a layer's channels in a network of another width, at least 1."""
  return max(1, round(channels * width))


def max_pool_2x2(x: jax.Array) -> jax.Array:
  """Max-pools 2 x 2 without overlap, dropping an odd last row or column.

  A reshape and a maximum: the gradient of a general max-pool is a fifth of a
  VGG-like step on a CPU.
  """
  chex.assert_rank(x, 4, custom_message="x")
  batch, height, width, channels = x.shape
  x = x[:, : height // 2 * 2, : width // 2 * 2]
  x = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
  return x.max((2, 4))


def max_pool(x: jax.Array, padding: int | str) -> jax.Array:
  """Max-pools 3 x 3 windows at a stride of 2, padded as `ConvNorm`."""
  chex.assert_rank(x, 4, custom_message="x")
  if isinstance(padding, int):
    padding = ((padding, padding), (padding, padding))
  return nn.max_pool(x, (3, 3), strides=(2, 2), padding=padding)


def average(x: jax.Array) -> jax.Array:
  """Averages over space, in float32: `[B,H,W,C]` to `f32[B,C]`."""
  chex.assert_rank(x, 4, custom_message="x")
  return x.astype(jnp.float32).mean((1, 2))


def check_size(name: str, x: jax.Array, least: int) -> None:
  """Refuses images that a network's pooling would leave nothing of."""
  chex.assert_rank(x, 4, custom_message="x")
  height, width = x.shape[1:3]
  if min(height, width) < least:
    raise ValueError(
      f"model.name: {name} takes images of at least {least} x {least}, "
      f"found {height} x {width}"
    )


def sobel(x: jax.Array) -> jax.Array:
  """Turns images to grey and takes their gradients by Sobel's two filters.

  DeepCluster puts this, fixed, in front of its networks, so that they do not
  cluster by colour (arXiv 1807.05520, section 3.3).

  Args:
    x: f32[B,H,W,C], normalised.

  Returns:
    f32[B,H,W,2]: how much brighter it is to the left, and above, where what is
    outside counts as 0: signs and border are those of DeepCluster's own code.
  """
  chex.assert_rank(x, 4, custom_message="x")
  grey = x.astype(jnp.float32).mean(-1)
  padded = jnp.pad(grey, ((0, 0), (1, 1), (1, 1)))

  def across(a):  # 1 2 1 over columns, differences over rows
    smooth = a[:, :, :-2] + 2 * a[:, :, 1:-1] + a[:, :, 2:]
    return smooth[:, :-2] - smooth[:, 2:]

  above = across(padded)
  left = across(padded.swapaxes(1, 2)).swapaxes(1, 2)
  return jnp.stack([left, above], axis=-1)
