"""Batches on devices: an order of indices in, sharded arrays out.

Any batch can be made again from the number of its update alone.
"""

import abc
import collections
import concurrent.futures
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from sslprune_jax.data.sources import ArraySource, DataError, Rows, Source
from sslprune_jax.data.subsets import check_indices
from sslprune_jax.runtime import rng

Batch = dict[str, jax.Array]
_EVERYWHERE = PartitionSpec()
_Plan = Iterator[tuple[np.ndarray, int | None]]  # indices i64[B], the update


class Batches(abc.ABC):
  """Batches of a source for training and for evaluation.

  Every batch has one shape and one sharding, so that what consumes it is
  compiled once. With D devices it holds `image` u8[D, B/D, H, W, C], `label`
  i32[D, B/D] and `index` i32[D, B/D], the place in the source. Of several
  processes each makes the rows of its own devices.

  Attributes:
    source: images.
    batch_size: B, over all devices.
    updates_per_epoch: whole batches in an epoch; its remainder is dropped.
  """

  def __init__(
    self,
    source: Source,
    batch_size: int,
    sharding: NamedSharding,
    *,
    reads: int = 1,
  ):
    """Checks that the batch can be laid over the devices.

    Args:
      source: N images of any kind.
      batch_size: B, over all devices.
      sharding: layout that splits axis 0 over all devices, one row a device.
      reads: times that an epoch reads every image.

    Raises:
      DataError: the devices do not divide the batch.
    """
    devices = sharding.num_devices
    if batch_size < 1 or batch_size % devices:
      raise DataError(
        f"batch_size: found {batch_size}, expected a multiple of the "
        f"{devices} devices"
      )
    self.source, self.batch_size = source, batch_size
    self._reads = reads
    self.updates_per_epoch = len(source) * reads // batch_size
    mesh, each = sharding.mesh, batch_size // devices
    self._sharding = NamedSharding(mesh.local_mesh, sharding.spec)
    self._shape = (self._sharding.num_devices, each)
    processes = [device.process_index for device in mesh.devices.flat]
    first = processes.index(jax.process_index()) * each
    self._own = slice(first, first + self._shape[0] * each)

  def train(
    self, order: Callable[[int], np.ndarray], start: int, stop: int
  ) -> Iterator[Batch]:
    """Makes the batches of the updates from `start` to `stop - 1`.

    Args:
      order: function `epoch -> i32[N * reads]`, pure; called once an epoch,
        possibly a few updates before the epoch begins.
      start: first update, counted from 0 over all epochs.
      stop: update after the last.

    Returns:
      An iterator over batches.

    Raises:
      DataError: the source is smaller than a batch, or an order is not one of
        N * reads indices into it.
    """
    if not self.updates_per_epoch:
      raise DataError(
        f"batch_size: found {self.batch_size}, expected at most the "
        f"{len(self.source)} images of {self.source.name} {self.source.split}"
      )
    return self._follow(self._training(order, start, stop))

  def evaluate(self) -> Iterator[Batch]:
    """Makes batches that hold every image exactly once, in order.

    Returns:
      An iterator over batches that have a `weight` f32[D, B/D] too. It is 0 on
      the padding of the last batch, where `index` is N, one past the end: JAX
      drops what is written there.
    """
    return self._follow(self._evaluation())

  def _training(self, order, start: int, stop: int) -> _Plan:
    epoch, indices = None, None
    for update in range(start, stop):
      if epoch != update // self.updates_per_epoch:
        epoch = update // self.updates_per_epoch
        indices = check_indices(order(epoch), len(self.source))
        expected = len(self.source) * self._reads
        if len(indices) != expected:
          raise DataError(
            f"order of epoch {epoch}: found {len(indices)} indices, expected "
            f"{expected}"
          )
      first = update % self.updates_per_epoch * self.batch_size
      yield indices[first : first + self.batch_size], update

  def _evaluation(self) -> _Plan:
    for first in range(0, len(self.source), self.batch_size):
      indices = np.arange(first, first + self.batch_size)
      yield np.minimum(indices, len(self.source)), None

  def _put(self, rows: Rows) -> Batch:
    """Lays rows of a batch over the devices of this process."""
    shaped = {k: v.reshape(self._shape + v.shape[1:]) for k, v in rows.items()}
    return jax.device_put(shaped, self._sharding)

  def _index_rows(self, indices: np.ndarray, update: int | None) -> Rows:
    """Returns the rows of a batch that need no image."""
    rows = {"index": indices.astype(np.int32)}
    if update is None:
      rows["weight"] = (indices < len(self.source)).astype(np.float32)
    return rows

  @abc.abstractmethod
  def _follow(self, plan: _Plan) -> Iterator[Batch]:
    """Makes the batches of a plan, or this process' rows of them."""


class ResidentBatches(Batches):
  """Batches of images that live on every device, as bytes."""

  def __init__(
    self,
    source: ArraySource,
    batch_size: int,
    sharding: NamedSharding,
    *,
    reads: int = 1,
  ):
    """Copies the images to the devices; see `Batches`."""
    super().__init__(source, batch_size, sharding, reads=reads)
    mesh = self._sharding.mesh
    self._data = _resident(source, NamedSharding(mesh, _EVERYWHERE))

  def _follow(self, plan: _Plan) -> Iterator[Batch]:
    take = _take(self._sharding)
    for indices, update in plan:
      rows = self._put(self._index_rows(indices[self._own], update))
      yield {**take(self._data, rows["index"]), **rows}


@functools.lru_cache(maxsize=4)
def _resident(source: ArraySource, sharding: NamedSharding) -> Batch:
  """Copies a source to the devices; those used last stay there."""
  data = {"image": source.images, "label": source.labels}
  return jax.device_put(data, sharding)


@functools.cache
def _take(sharding: NamedSharding) -> Callable[..., Batch]:
  """Returns the compiled gather, shared by all batches of one shape."""

  def take(data, index):
    # Padding, one past the end, takes the last image.
    return {k: jnp.take(v, index, axis=0, mode="clip") for k, v in data.items()}

  return jax.jit(take, out_shardings=sharding)


class StreamedBatches(Batches):
  """Batches read and put on the devices ahead of time, by threads."""

  def __init__(
    self,
    source: Source,
    batch_size: int,
    sharding: NamedSharding,
    *,
    reads: int = 1,
    seed: int = 0,
    prefetch: int = 2,
  ):
    """See `Batches`.

    Args:
      source: N images of any kind.
      batch_size: B, over all devices.
      sharding: layout that splits axis 0 over all devices, one row a device.
      reads: times that an epoch reads every image.
      seed: seed of the random crops of training; an image's crop depends on it,
        on the update, and on the place in the batch.
      prefetch: batches made ahead, each by a thread.
    """
    super().__init__(source, batch_size, sharding, reads=reads)
    self._seed, self._prefetch = seed, prefetch

  def _follow(self, plan: _Plan) -> Iterator[Batch]:
    threads = concurrent.futures.ThreadPoolExecutor(
      self._prefetch, thread_name_prefix="batches"
    )
    ahead = collections.deque()
    try:
      for indices, update in plan:
        ahead.append(threads.submit(self._make, indices, update))
        if len(ahead) > self._prefetch:
          yield ahead.popleft().result()
      while ahead:
        yield ahead.popleft().result()
    finally:  # also when the consumer stops early
      threads.shutdown(cancel_futures=True)

  def _make(self, indices: np.ndarray, update: int | None) -> Batch:
    seeds = None
    if update is not None:
      seeds = rng.raw(self._seed, "crop", update, self.batch_size)
      seeds = seeds[self._own]
    indices = indices[self._own]
    # Padding, one past the end, takes the last image.
    rows = self.source.read(np.minimum(indices, len(self.source) - 1), seeds)
    return self._put(rows | self._index_rows(indices, update))


def make(
  source: Source,
  batch_size: int,
  sharding: NamedSharding,
  *,
  reads: int = 1,
  seed: int = 0,
) -> Batches:
  """Makes batches that suit a source: resident if it is in memory.

  Args:
    source: N images of any kind.
    batch_size: B, over all devices.
    sharding: layout that splits axis 0 over all devices, one row a device.
    reads: times that an epoch reads every image.
    seed: seed of the random crops of streamed images.
  """
  if isinstance(source, ArraySource):
    return ResidentBatches(source, batch_size, sharding, reads=reads)
  return StreamedBatches(source, batch_size, sharding, reads=reads, seed=seed)
