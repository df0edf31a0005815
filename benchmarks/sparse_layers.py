"""Which layers of a network are faster as sparse matrices: each timed alone."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sparse_resnet
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from sparse_resnet import Layer

_IMAGES = P("batch")
_CHANNELS_FIRST = P(None, "batch")  # as `convolve` has activations


def compile_for(
  function: Callable[..., jax.Array],
  batch: int,
  threads: int,
  spec: P = _IMAGES,
) -> Callable[..., jax.Array]:
  """Compiles a function of weights and activations.

  Args:
    function: what it computes.
    batch: images.
    threads: threads; a batch of a multiple is split over as many devices.
    spec: which axis of activations and outputs is the batch.
  """
  if _splits(batch, threads):
    mesh = Mesh(np.asarray(jax.devices()[:threads]), "batch")
    function = jax.shard_map(
      function, mesh=mesh, in_specs=(P(), spec), out_specs=spec, check_vma=False
    )
  return jax.jit(function)


def _splits(batch, threads):
  return threads > 1 and batch % threads == 0


def place(
  weights: Any, x: np.ndarray, batch: int, threads: int, spec: P = _IMAGES
) -> tuple[Any, Any]:
  """Puts weights and activations where what `compile_for` makes reads them."""
  if not _splits(batch, threads):
    return jax.tree.map(jnp.asarray, (weights, x))
  mesh = Mesh(np.asarray(jax.devices()[:threads]), "batch")
  return (
    jax.device_put(weights, NamedSharding(mesh, P())),
    jax.device_put(x, NamedSharding(mesh, spec)),
  )


def time_alone(
  layers: dict[str, Layer], shape: tuple[int, ...], threads: int = 1
) -> dict[str, tuple[float, float]]:
  """Times each layer alone, dense and sparse.

  Args:
    layers: layers from `fold`.
    shape: shape [B,H,W,C] of the images.
    threads: threads.

  Returns:
    Layer of a block -> seconds of its dense and of its sparse form.
  """
  found, (batch, *sides, _) = {}, shape
  stem = layers["stem"]
  # What the stem leaves, and pooling.
  sides = [-(-s // (4 if stem.stride == 2 else 1)) for s in sides]
  entered = sides
  for name, layer in list(layers.items())[1:]:
    if name.endswith("/conv1"):
      entered = sides  # Of the block: its shortcut reads the same.
    read = entered if name.endswith("/shortcut") else sides
    kernel = layer.kernel
    rng = np.random.default_rng(0)
    x = rng.random((kernel.shape[2], batch, *read), np.float32)
    seconds = []
    for is_sparse in (False, True):
      run = _compile_layer(kernel.shape[0], layer.stride, batch, threads)
      weights = layer.weights(is_sparse)
      seconds.append(
        _time_once(run, *place(weights, x, batch, threads, _CHANNELS_FIRST))
      )
    found[name] = tuple(seconds)
    sides = [-(-s // layer.stride) for s in read]
  return found


@functools.cache  # Layers of the same shapes are compiled once.
def _compile_layer(side, stride, batch, threads):
  run = functools.partial(sparse_resnet.convolve, side=side, stride=stride)
  return compile_for(run, batch, threads, _CHANNELS_FIRST)


def _time_once(run, *arguments, calls=3):
  jax.block_until_ready(run(*arguments))
  seconds = []
  for _ in range(calls):
    began = time.perf_counter()
    jax.block_until_ready(run(*arguments))
    seconds.append(time.perf_counter() - began)
  return min(seconds)


def list_faster(alone: dict[str, tuple[float, float]]) -> list[str]:
  """Lists the layers that were faster sparse, of what `time_alone` found."""
  return [n for n, (dense, own) in alone.items() if own < dense]
