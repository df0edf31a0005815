"""Features of a whole set, extracted once; they stay split over the devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.data import batches
from sslprune_jax.models import readout
from sslprune_jax.runtime import devices, processes, trees
from sslprune_jax.runtime.errors import DivergedError
from sslprune_jax.runtime.trees import Tree


@dataclasses.dataclass(frozen=True)
class Features:
  """Features of N images, and which image each row is of.

  Attributes:
    rows: f32[S,R,F], S shards of R rows, split over the devices.
    place: i64[N], place of each image among the S * R rows.
    labels: i32[N], or i32[N,K] where an image may show several classes; None
      where nobody asked for them.
  """

  rows: jax.Array
  place: np.ndarray
  labels: np.ndarray | None = None

  def take(self, images: np.ndarray) -> "Features":
    """Returns those of some images, i64[M]; the rows are shared."""
    labels = None if self.labels is None else self.labels[images]
    return Features(self.rows, self.place[images], labels)

  def images_by_row(self) -> np.ndarray:
    """Returns the image that each row is of, i32[S,R], N on padding."""
    return self._by_row(np.arange(len(self.place)), len(self.place))

  def labels_by_row(self) -> np.ndarray:
    """Returns the label of each row, i32[S,R], -1 on padding."""
    return self._by_row(self.labels, -1)

  def _by_row(self, values: np.ndarray, padding: int) -> np.ndarray:
    by_row = np.full(self.rows.shape[0] * self.rows.shape[1], padding, np.int32)
    by_row[self.place] = values
    return by_row.reshape(self.rows.shape[:2])

  def on_host(self) -> np.ndarray:
    """Returns f32[N,F], in the order of the images."""
    rows = devices.on_host(self.rows)
    return rows.reshape(-1, rows.shape[-1])[self.place]


def make_step(
  network: Any,
  normalise: Callable[[jax.Array], jax.Array],
  layer: str = "features",
) -> Callable:
  """Makes the features of one batch, over all devices.

  Args:
    network: network from `models.build`.
    normalise: `u8[B,H,W,C] -> f32[B,H,W,C]`, the task's.
    layer: name of an endpoint, see `models.readout`; by default the penultimate
      one.

  Returns:
    `(variables, batch) -> f32[D,B,F]`. Batch norm uses its running statistics
    and leaves them alone.
  """

  def step(variables, batch):
    chex.assert_rank(batch["image"], 4, custom_message="image")
    image = normalise(batch["image"])
    return readout(network.apply(variables, image, train=False), layer)

  return devices.pmap(step, out_axes=0)


def extract(
  step: Callable,
  variables: dict[str, Tree],
  source: data.Source,
  batch_size: int,
  *,
  shards: int | None = None,
  with_labels: bool = False,
  on_images: Callable[[int], None] = lambda images: None,
) -> Features:
  """Extracts the features of all images of a source, in one pass over it.

  Which image lies in which shard depends on the batch size, not on the number
  of devices.

  Args:
    step: features of a batch, from `make_step`.
    variables: `{"params", "batch_stats"}`, replicated.
    source: source of N images.
    batch_size: images a batch, a multiple of `shards`.
    shards: number of shards S, a multiple of the number of devices; by default
      a shard a device.
    with_labels: whether the labels are read too, with the images.
    on_images: callback with how many images a batch brings, called in order
      while their features are made.

  Returns:
    The features, of the layer that `step` reads.

  Raises:
    DivergedError: a feature is not finite.
  """
  size, shards = len(source), shards or jax.device_count()
  count = -(-size // batch_size)
  feed = batches.make(source, batch_size, devices.split())
  buffer, labels = None, []
  for number, batch in enumerate(feed.evaluate()):
    features = step(variables, batch)
    if with_labels:
      # Read later, so that the devices do not wait.
      labels.append(batch["label"])
    on_images(min(batch_size, size - number * batch_size))
    if buffer is None:
      rows = count * batch_size // shards
      shape = (shards, rows, features.shape[-1])
      buffer = jnp.zeros(shape, features.dtype, device=devices.split())
    buffer = _write(buffer, devices.to_global(features), number)
  if not trees.are_finite(buffer).all():
    raise DivergedError(
      f"features of {source.name}: found some that are not finite, expected "
      "finite numbers of finite weights"
    )
  # A batch fills the same rows of every shard.
  image = np.arange(count * batch_size).reshape(count, shards, -1)
  place = np.argsort(image.swapaxes(0, 1), axis=None)[:size]
  if with_labels:
    return Features(buffer, place, _join_labels(labels)[:size])
  return Features(buffer, place)


def _join_labels(labels: list[jax.Array]) -> np.ndarray:
  """Joins the labels [D,B,...] of all batches, in the order of the images."""
  joined = np.stack([np.asarray(leaf) for leaf in labels])
  # Of this process' devices, next to those of the others.
  joined = np.concatenate(processes.from_all(joined), axis=1)
  return joined.reshape(-1, *joined.shape[3:])


@functools.partial(jax.jit, donate_argnums=0)
def _write(buffer: jax.Array, features: jax.Array, number: int) -> jax.Array:
  """Writes a batch of features into its place of every shard."""

  def write(buffer, features, number):
    rows = features.reshape(buffer.shape[0], -1, buffer.shape[-1])
    place = (0, number * rows.shape[1], 0)
    return jax.lax.dynamic_update_slice(buffer, rows, place)

  specs = (devices.ROWS, devices.ROWS, devices.SAME)
  return devices.over_shards(write, specs, devices.ROWS)(
    buffer, features, number
  )
