"""Tests of the random numbers of the host."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslprune_jax.runtime import rng

sizes = st.integers(1, 300)
numbers = st.integers(0, 2**40)


@given(numbers, numbers, sizes)
def test_an_order_holds_every_index_once(seed, epoch, size):
  order = rng.permutation(seed, epoch, size)
  assert order.dtype == np.int32
  np.testing.assert_array_equal(np.sort(order), np.arange(size))


@given(numbers, numbers, sizes)
def test_an_order_is_pure(seed, epoch, size):
  first = rng.permutation(seed, epoch, size)
  np.random.default_rng(0).random(3)
  np.testing.assert_array_equal(first, rng.permutation(seed, epoch, size))


def test_orders_differ_between_seeds_and_epochs():
  orders = [rng.permutation(s, e, 50) for s in range(4) for e in range(4)]
  assert len({order.tobytes() for order in orders}) == 16


def test_orders_stay_what_they_were():
  # If these move, no run can be resumed or repeated: they must not.
  assert rng.permutation(0, 0, 10).tolist() == GOLDEN[0]
  assert rng.permutation(7, 3, 10).tolist() == GOLDEN[1]


GOLDEN = ([7, 1, 5, 3, 9, 6, 0, 4, 2, 8], [6, 9, 8, 3, 5, 0, 2, 4, 7, 1])


def test_purposes_are_separate_streams():
  crop, order = (rng.raw(0, p, 0, 8) for p in ("crop", "order"))
  assert not np.intersect1d(crop, order).size


def test_a_longer_stream_begins_like_a_shorter_one():
  np.testing.assert_array_equal(
    rng.raw(1, "crop", 2, 9)[:4], rng.raw(1, "crop", 2, 4)
  )


def test_units_are_uniform_on_0_to_1():
  words = rng.raw(0, "test", 0, 100_000)
  units = rng.to_units(words)
  assert 0 <= units.min() and units.max() < 1
  np.testing.assert_allclose(np.histogram(units, 10)[0], 10_000, rtol=0.05)
  assert rng.to_units(np.array([0, 2**64 - 1], np.uint64)).tolist() == [
    0.0,
    pytest.approx(1.0),
  ]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
def test_cycles_go_on_from_epoch_to_epoch(count, size, epochs):
  parts = [
    rng.cycle_permutations(7, "test", e, count, size) for e in range(epochs)
  ]
  assert all(part.dtype == np.int32 and len(part) == count for part in parts)
  row = np.concatenate(parts)
  whole = len(row) // size * size
  for cycle in row[:whole].reshape(-1, size):
    np.testing.assert_array_equal(np.sort(cycle), np.arange(size))
