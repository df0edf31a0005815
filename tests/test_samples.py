"""Rows of samples: where they lie, and what is drawn there."""

import jax
import numpy as np

from sslprune_jax.runtime import samples

_KEY = jax.random.key(7)


def _draw(count):
  drawn = samples.draw(lambda key: jax.random.normal(key, (3,)), _KEY, count)
  assert len(drawn.addressable_shards) == jax.device_count()
  return np.asarray(drawn)


def test_a_row_that_is_drawn_is_that_of_its_sample_alone():
  rows = _draw(21)
  devices = jax.device_count()
  assert rows.shape == (devices, -(-21 // devices), 3)
  rows = rows.reshape(-1, 3)
  assert (rows[21:] == 0).all()
  keys = [jax.random.fold_in(_KEY, index) for index in range(21)]
  expected = [jax.random.normal(key, (3,)) for key in keys]
  np.testing.assert_array_equal(rows[:21], expected)
  more = _draw(5000).reshape(-1, 3)  # More than are drawn at once.
  np.testing.assert_array_equal(more[:21], rows[:21])
  assert len(np.unique(more[:5000], axis=0)) == 5000


def test_rows_are_split_in_order_and_padded():
  rows = np.arange(10, dtype=np.float32)[:, None] + 1
  found = np.asarray(samples.split(rows))
  assert found.shape[0] == jax.device_count()
  np.testing.assert_array_equal(found.reshape(-1)[:10], rows[:, 0])
  assert (found.reshape(-1)[10:] == 0).all()
