"""Layers of a network in forward order, and how often each weight is used."""

import math
from collections.abc import Iterable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sslprune_jax.models.network import Network


def uses(network: Network, image_shape: tuple[int, int, int]) -> dict[str, int]:
  """Counts how often an image uses each weight of a kernel.

  Times the number of weights these are the multiply-adds of a forward pass: a
  convolution uses its weights once at each place of its output.

  Args:
    network: network from `build`.
    image_shape: (H, W, C).

  Returns:
    Name of a kernel of the trunk -> its uses, in forward order.
  """
  found: dict[str, int] = {}

  def record(call, args, kwargs, context):
    outputs = call(*args, **kwargs)
    if isinstance(context.module, (nn.Conv, nn.Dense)):
      name = "/".join((*context.module.path, "kernel"))
      found[name] = math.prod(outputs.shape[1:-1])
    return outputs

  # Traced, not run. Parameter trees do not help: JAX sorts their keys.
  with nn.intercept_methods(record):
    jax.eval_shape(
      lambda: network.init(
        jax.random.key(0), jnp.zeros((1, *image_shape)), train=False
      )
    )
  return {k: v for k, v in found.items() if k.startswith("trunk/")}


def layer_order(kernels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
  """Groups the trunk's kernels into layers.

  Args:
    kernels: their names in forward order, as of `uses`.

  Returns:
    An entry a layer: the name of its kernel. A shortcut's projection is not
    counted as a layer; it stands in the entry of the first layer of the block
    that it belongs to, whose input it shares.
  """
  layers: list[tuple[str, ...]] = []
  for name in kernels:
    if "/shortcut/" in name:
      block = name.split("shortcut/")[0]
      first = next(i for i, e in enumerate(layers) if e[0].startswith(block))
      layers[first] += (name,)
    else:
      layers.append((name,))
  return tuple(layers)
