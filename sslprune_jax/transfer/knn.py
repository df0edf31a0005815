"""`knn`: weighted nearest neighbours on features, exact, over devices.

Reference: Wu et al. 2018, arXiv 1805.01978, section 3.4.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.features.neighbours import nearest, unit, vote
from sslprune_jax.runtime import devices as devices_lib
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.transfer.base import Probe

_BLOCK = 256  # queries at a time, over all devices


def classify(
  bank: jax.Array,
  labels: np.ndarray,
  queries: jax.Array,
  *,
  neighbours: int,
  temperature: float,
  num_classes: int,
) -> np.ndarray:
  """Lets the nearest rows of a bank vote on queries, by cosine.

  Args:
    bank: f32[S,R,F], split over the devices, whose number divides S.
    labels: i32[S,R], -1 on padding.
    queries: f32[T,Q,F], split likewise.
    neighbours: number of rows that vote, each by exp(cosine / temperature).
    temperature: divisor, 0.02 or more.
    num_classes: number of classes K.

  Returns:
    i32[T,Q], the class of each query.

  Raises:
    ValueError: the bank has fewer rows than that.
  """
  chex.assert_rank(
    [bank, labels, queries], [3, 2, 3], custom_message="bank, labels, queries"
  )
  chex.assert_equal_shape_prefix([bank, labels], 2)
  chex.assert_equal_shape_suffix([bank, queries], 1)
  size = int(np.sum(labels >= 0))
  if neighbours > size:
    raise ValueError(
      f"found {neighbours}, expected at most the {size} training images"
    )
  shards, rows, width = queries.shape
  each = -(-_BLOCK // jax.device_count())
  blocks = -(-rows // each)
  queries = jnp.pad(queries, ((0, 0), (0, blocks * each - rows), (0, 0)))
  run = _compile(neighbours, temperature, num_classes)
  found = run(
    bank,
    jax.device_put(labels, devices_lib.split()),
    queries.reshape(shards, blocks, each, width),
  )
  return devices_lib.on_host(found).reshape(shards, -1)[:, :rows]


@functools.cache
def _compile(count: int, temperature: float, num_classes: int):
  def of_device(bank, labels, queries):
    bank, labels = unit(bank.reshape(-1, bank.shape[-1])), labels.reshape(-1)

    def block(own):
      near, answer = nearest(
        devices_lib.all_gather(unit(own)),
        bank,
        labels >= 0,
        labels,
        count,
      )
      answer = vote(near, answer, temperature, num_classes)
      return devices_lib.local_rows(answer, len(own))

    blocks = queries.reshape(-1, *queries.shape[-2:])
    return jax.lax.map(block, blocks).reshape(queries.shape[:-1])

  return jax.jit(
    devices_lib.over_shards(
      of_device, (devices_lib.ROWS,) * 3, devices_lib.ROWS
    )
  )


class Neighbours(Probe):
  """The vote of the nearest training images."""

  def check(self, train: data.Source) -> None:
    """Refuses fewer images than neighbours."""
    count = self.config.transfer.knn.neighbours
    rest = len(train) - self.held_out(len(train))
    if count > rest:
      raise ConfigError(
        f"config.transfer.knn.neighbours: found {count}, expected at most the "
        f"{rest} training images of {self.target.name}"
      )

  def judge(self, train, test, directory, seed):
    """Votes on the test images."""
    del directory, seed
    settings = self.config.transfer.knn.to_dict()
    answer = classify(
      train.rows,
      train.labels_by_row(),
      test.rows,
      num_classes=self.target.num_classes,
      **settings,
    )
    right = (answer == test.labels_by_row()).sum() / len(test.labels)
    return {"accuracy": float(right)}, settings
