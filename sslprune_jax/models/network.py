"""A network is a trunk, which is pruned, and a head, which never is."""

import functools
from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.models import kept as kept_lib
from sslprune_jax.models.grids import read_grid
from sslprune_jax.models.layers import DENSE_INIT, sobel
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.errors import ConfigError

# What some networks alone have, and its default: the stem of a residual network
# ("small", "imagenet"), the padding of its first convolution, and of all that
# strides ("same" as Flax pads); whether VGG and AlexNet have batch norm.
VARIANTS: dict[str, Any] = {
  "stem": "",
  "stem_padding": -1,
  "padding": "",
  "batch_norm": True,
}


class Network(nn.Module):
  """A trunk and a head; params are `{"trunk": ..., "head": ...}`.

  Attributes:
    trunk: module of `(images, train)` that maps images to named endpoints,
      `features` f32[B,F] among them; it may do without batch norm.
    head: module that maps what it reads to the logits.
    sobel: whether the trunk sees edges in place of colours.
    probed: the endpoint that the head reads of a frozen trunk; "": the trunk
      is trained, and the head reads its features.
    kept: what a shrunk trunk has kept of this one, a text of `kept.encode`; "":
      all of it. It is drawn whole, and then sliced; the layers read their
      widths off their params.
  """

  trunk: nn.Module
  head: nn.Module
  sobel: bool = False
  probed: str = ""
  kept: str = ""

  @nn.nowrap
  def init_with_output(
    self, rngs: Any, *args: Any, **kwargs: Any
  ) -> tuple[Any, Any]:
    """Draws variables, as `nn.Module.init` and `init_with_output` do."""
    drawn = super().init_with_output(rngs, *args, **kwargs)
    if not self.kept:
      return drawn
    # The head is drawn for what it reads.
    trunk = {
      name: {k: v for k, v in tree.items() if k == "trunk"}
      for name, tree in kept_lib.take(
        drawn[1], kept_lib.decode(self.kept)
      ).items()
    }
    rngs = rngs if isinstance(rngs, Mapping) else {"params": rngs}
    return self.apply(trunk, *args, rngs=rngs, **{"mutable": True, **kwargs})

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> dict[str, jax.Array]:
    """Runs the network.

    Args:
      images: f32[B,H,W,C], normalised.
      train: whether batch norm uses the batch's statistics, and updates its
        running ones (pass `mutable=["batch_stats"]`).

    Returns:
      `stage1`, `stage2`, ... [B,H',W',C'], `features` f32[B,F],
      `preactivation` f32[B,F], the same before a ReLU that they end in, if they
      do, and `logits` f32[B,K].
    """
    # `nn.Conv` takes a single image, and bytes, without a word.
    chex.assert_rank(images, 4, custom_message="images")
    chex.assert_type(images, float, custom_message="images")
    images = sobel(images) if self.sobel else images
    outputs = self.trunk(images, train and not self.probed)
    read = outputs["features"]
    if self.probed:
      read = jax.lax.stop_gradient(read_grid(outputs, self.probed))
      # Any trunk's numbers get the scale that the rate of a recipe is for; a
      # stage's by channel.
      read = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        use_bias=False,
        use_scale=False,
        name="scale",
      )(read)
      read = read.reshape(len(read), -1)
    logits = self.head(read).astype(jnp.float32)
    features = outputs["features"]
    return {"preactivation": features, **outputs, "logits": logits}


def build(
  name: str,
  num_outputs: int,
  *,
  dtype: Any = jnp.float32,
  batch_norm_axis: str | None = None,
  sobel: bool = False,
  probed: str = "",
  width: float = 1.0,
  remat: bool = False,
  kept: str = "",
  **variant: Any,
) -> Network:
  """Builds a network by name.

  Args:
    name: name of a row of `config.networks`.
    num_outputs: width of the linear head.
    dtype: dtype of the compute, "float32" or "bfloat16"; params are always
      float32.
    batch_norm_axis: name of the mapped axis that batch norm averages its
      statistics over; None for statistics of each device's own.
    sobel: whether fixed filters stand in front: see `layers.sobel`.
    probed: endpoint that the head reads; see `Network`.
    width: factor of the trunk's channels, above 0.
    remat: whether a training step keeps the inputs of blocks (of layers where
      there are none) and computes what is in them twice, to save memory.
    kept: what a shrunk trunk has kept of this one; see `Network`.
    **variant: what some networks alone have, see `VARIANTS`; at its default it
      may be given to any.

  Returns:
    The module.

  Raises:
    ConfigError: an unknown name, a variant that the network does not have, or a
      text that is none of a shrunk network.
  """
  kept_lib.decode(kept)
  dtype = jnp.dtype(dtype)
  settings = {
    "axis_name": batch_norm_axis,
    **{"width": width, "dtype": dtype, "remat": remat},
  }
  trunk = _make_trunk(name, settings, variant)
  head = nn.Dense(
    num_outputs,
    kernel_init=getattr(trunk, "head_init", DENSE_INIT),
    dtype=dtype,
    name="head",
  )
  return Network(trunk.clone(name="trunk"), head, sobel, probed, kept)


def _make_trunk(
  name: str, settings: dict[str, Any], variant: dict[str, Any]
) -> nn.Module:
  variant = {k: v for k, v in variant.items() if v != VARIANTS[k]}
  try:
    return NETWORKS.load(name)(**settings, **variant)
  except TypeError as error:
    field = next((f for f in variant if f"'{f}'" in str(error)), None)
    if field is None:
      raise
    raise ConfigError(
      f"config.model.{field}: found {variant[field]!r}, expected "
      f"{VARIANTS[field]!r}: {name} has no {field.replace('_', ' ')} to choose"
    ) from None


def from_config(
  model: ConfigDict, num_outputs: int, probed: str = ""
) -> Network:
  """Builds the network that a configuration describes, with a linear head.

  Args:
    model: section `config.model`, validated.
    num_outputs: width of the head.
    probed: endpoint that the head reads; see `Network`.
  """
  return build(
    model.name,
    num_outputs,
    dtype=model.dtype,
    batch_norm_axis=devices.AXIS if model.batch_norm == "global" else None,
    sobel=model.sobel,
    probed=probed,
    width=model.width,
    remat=model.remat,
    **variants(model),
  )


def variants(model: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what a section `config.model` says of the trunk beside its name.

  Args:
    model: section of any version.

  Returns:
    The `VARIANTS`, and what a shrunk trunk has kept.
  """
  found = {k: model[k] for k in (*VARIANTS, "kept") if k in model}
  return found | {"batch_norm": model.get("batch_norm") != "none"}


class _Headless(nn.Module):
  """A head without params that passes on what it reads."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return x


def without_head(network: Network) -> Network:
  """Returns a network whose params are `{"trunk": ...}` alone."""
  return with_head(network, _Headless())


def with_head(network: Network, head: nn.Module) -> Network:
  """Returns a network with another head, such as one of several layers."""
  return network.clone(head=head.clone(name="head"))


def endpoints(
  network: Network, image_shape: tuple[int, int, int]
) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every output of a network for an image (H, W, C)."""
  outputs, _ = jax.eval_shape(
    lambda: network.init_with_output(
      jax.random.key(0), jnp.zeros((1, *image_shape)), train=False
    )
  )
  return {name: output.shape[1:] for name, output in outputs.items()}


def num_features(network: Network, image_shape: tuple[int, int, int]) -> int:
  """Returns the width of a network's features for images (H, W, C)."""
  trunk = without_head(network)
  try:
    return _num_features(trunk, tuple(image_shape))
  except TypeError:  # A trunk may hold its layers in a list: it has no hash.
    return _num_features.__wrapped__(trunk, tuple(image_shape))


# Tasks share their trunk: it is traced once.
@functools.lru_cache(maxsize=16)
def _num_features(trunk, image_shape):
  return endpoints(trunk, image_shape)["features"][0]
