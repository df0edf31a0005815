"""Rows of samples, split over the devices in order, and read by all of them."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.runtime import devices

_ROWS_AT_ONCE = 4096  # that are drawn


def split(rows: jax.Array) -> jax.Array:
  """Splits one row a sample over the devices, in order, padded with zeros.

  Args:
    rows: [N, ...].

  Returns:
    [D, ceil(N / D), ...]: sample n lies in row `n % R` of device `n // R`,
    where R is the number of rows of a device.
  """
  count = jax.device_count()
  each = -(-len(rows) // count)
  padding = [(0, count * each - len(rows))] + [(0, 0)] * (rows.ndim - 1)
  return jnp.pad(rows, padding).reshape(count, each, *rows.shape[1:])


def draw(
  draw_row: Callable[[jax.Array], jax.Array], rng: jax.Array, count: int
) -> jax.Array:
  """Draws one row a sample on the device that is to hold it.

  Args:
    draw_row: function of a key to a row [...].
    rng: key; that of a sample is folded with its number.
    count: number of samples N.

  Returns:
    [D, ceil(N / D), ...] as of `split`, split over the devices of all
    processes.
  """
  each = -(-count // jax.device_count())
  impl = jax.random.key_impl(rng)

  def draw_one(data, index):
    key = jax.random.fold_in(jax.random.wrap_key_data(data, impl=impl), index)
    row = draw_row(key)
    return jnp.where(index < count, row, jnp.zeros_like(row))

  def draw_rows(data):
    index = jax.lax.axis_index(devices.AXIS) * each + jnp.arange(each)
    # At once the random bits alone would take four times the rows.
    rows = jax.lax.map(
      functools.partial(draw_one, data), index, batch_size=_ROWS_AT_ONCE
    )
    return rows[None]

  data = jax.random.key_data(rng)
  if jax.process_count() > 1:
    data = np.asarray(data)  # As every process has it.
  drawn = devices.over_shards(draw_rows, devices.SAME, devices.ROWS)
  return jax.jit(drawn)(data)


def look_up(rows: jax.Array, index: jax.Array) -> jax.Array:
  """Reads rows that other devices may hold, inside a step.

  Args:
    rows: [R, ...], this device's share of `split`.
    index: i32[M], of samples; the same on all devices.

  Returns:
    [M, ...], the same on all devices.
  """
  place = _place(rows, index)
  is_held = (place >= 0) & (place < len(rows))
  is_held = is_held.reshape(-1, *(1,) * (rows.ndim - 1))
  return jax.lax.psum(
    jnp.where(is_held, read_local(rows, index), 0), devices.AXIS
  )


def read_local(rows: jax.Array, index: jax.Array) -> jax.Array:
  """Reads rows that this device holds, inside a step.

  Args:
    rows: [R, ...], this device's share of `split`.
    index: i32[M], of samples.

  Returns:
    [M, ...]; of no meaning where another device holds the row.
  """
  return jnp.take(rows, _place(rows, index), axis=0, mode="clip")


def write(rows: jax.Array, index: jax.Array, values: jax.Array) -> jax.Array:
  """Writes rows that other devices may hold, inside a step.

  Args:
    rows: [R, ...], this device's share of `split`.
    index: i32[M], of samples; the same on all devices. Where one occurs twice
      its last value is written.
    values: [M, ...]; what belongs to rows of other devices is not read.

  Returns:
    The rows with the values that this device holds.
  """
  place = _place(rows, index)
  again = jnp.triu(index[:, None] == index[None, :], k=1).any(axis=1)
  # JAX counts negative places from the end, and drops those past the end.
  place = jnp.where((place < 0) | again, len(rows), place)
  return rows.at[place].set(values, mode="drop")


def _place(rows: jax.Array, index: jax.Array) -> jax.Array:
  return index - jax.lax.axis_index(devices.AXIS) * len(rows)
