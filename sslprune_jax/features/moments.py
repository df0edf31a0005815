"""Mean and deviation of every channel of some layers, over a whole set."""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.data import batches
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.errors import DivergedError
from sslprune_jax.runtime.trees import Tree

_LEAST = 1e-3  # of the mean deviation: a channel below it tells nothing

Moments = dict[str, tuple[np.ndarray, np.ndarray]]


def make_step(
  network: Any,
  normalise: Callable[[jax.Array], jax.Array],
  layers: Sequence[str],
) -> Callable:
  """Makes the sums of one batch, over all devices.

  Args:
    network: network from `models.build`.
    normalise: `u8[B,H,W,C] -> f32[B,H,W,C]`, the task's.
    layers: names of its endpoints.

  Returns:
    `(variables, batch) -> {layer: (count f32[], sum f32[C], squares f32[C])}`;
    `batch` has `weight` f32[B], 0 on padding.
  """

  def step(variables, batch):
    outputs = network.apply(variables, normalise(batch["image"]), train=False)
    sums = {}
    for layer in layers:
      x = outputs[layer].astype(jnp.float32)
      x = x.reshape(len(x), -1, x.shape[-1])  # All places count alike.
      weight = batch["weight"][:, None, None]
      weighed = x * weight
      sums[layer] = (
        jnp.sum(weight) * x.shape[1],
        jnp.sum(weighed, (0, 1)),
        jnp.sum(weighed * x, (0, 1)),
      )
    return jax.lax.psum(sums, devices.AXIS)

  return devices.pmap(step)


def measure(
  step: Callable, variables: dict[str, Tree], source: data.Source, batch: int
) -> Moments:
  """Measures the layers of a network in one pass over a source.

  Args:
    step: sums of a batch, from `make_step`.
    variables: `{"params", "batch_stats"}`, replicated.
    source: source of images.
    batch: images a batch, a multiple of the number of devices.

  Returns:
    Mean f32[C] and standard deviation f32[C] of each layer, in evaluation mode.

  Raises:
    DivergedError: one is not finite.
  """
  totals: dict[str, Any] = {}
  for fed in batches.make(source, batch, devices.split()).evaluate():
    sums = jax.device_get(step(variables, fed))
    # In float64, as a square is far above what a variance differs by.
    sums = jax.tree.map(np.float64, sums)
    totals = jax.tree.map(np.add, totals, sums) if totals else sums
  found = {}
  for layer, (count, total, squares) in totals.items():
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    if not np.isfinite(deviation).all():
      raise DivergedError(
        f"{layer} of {source.name}: found features that are not finite, "
        "expected finite ones"
      )
    found[layer] = np.float32(mean), np.float32(deviation)
  return found


def inverse(deviation: Any) -> jax.Array:
  """Returns one over deviations f32[C]; 0 of those far below their mean.

  A channel that hardly ever moves would count as much as all others.
  """
  chex.assert_rank(deviation, 1, custom_message="deviation")
  still = deviation <= _LEAST * jnp.mean(deviation)
  return jnp.where(still, 0.0, 1 / jnp.where(still, 1.0, deviation))
