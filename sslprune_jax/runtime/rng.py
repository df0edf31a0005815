"""Random streams of host and devices, addressed by what they are for."""

import zlib

import jax
import numpy as np


def stream_key(seed: int, purpose: str) -> jax.Array:
  """Returns the random key of one purpose, apart from those of all others.

  Args:
    seed: integer, 0 or more.
    purpose: text that names the stream. Results depend on it: it is never
      changed.

  Returns:
    key[].
  """
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def stream_generator(seed: int, purpose: str) -> np.random.Generator:
  """Returns the host's random generator of one purpose.

  Args:
    seed: integer, 0 or more.
    purpose: text that names the stream, as of `stream_key`.
  """
  return np.random.Generator(
    np.random.Philox(
      np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])
    )
  )


def raw(seed: int, purpose: str, number: int, size: int) -> np.ndarray:
  """Returns the first random words of the stream with this address.

  NumPy promises the same words for ever from a bit generator, not from
  `Generator`'s methods; so everything here is made from these.

  Args:
    seed: integer, 0 or more.
    purpose: text that names the stream.
    number: integer, 0 or more: an epoch, an update.
    size: number of words.

  Returns:
    u64[size], uniform.
  """
  key = np.array([seed, zlib.crc32(purpose.encode())], np.uint64)
  counter = np.array([0, 0, number, 0], np.uint64)  # numpy counts in word 0
  return np.random.Philox(key=key, counter=counter).random_raw(size)


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
  """Returns the order of an epoch, the same for ever and on any machine.

  Args:
    seed: integer, 0 or more.
    epoch: number of the epoch, from 0.
    size: number of images.

  Returns:
    i32[size], each of 0 to size - 1 once.
  """
  words = raw(seed, "order", epoch, size)
  return np.argsort(words, kind="stable").astype(np.int32)


def cycle_permutations(
  seed: int, purpose: str, epoch: int, count: int, size: int
) -> np.ndarray:
  """Returns an epoch's share of an endless row of permutations.

  Args:
    seed: integer, 0 or more.
    purpose: text that names the stream.
    epoch: number of the epoch, from 0.
    count: numbers that an epoch takes.
    size: length of each permutation, 1 or more.

  Returns:
    i32[count], of 0 to size - 1; over all epochs each is as frequent.
  """
  first = epoch * count
  cycles = range(first // size, (first + count - 1) // size + 1)
  orders = [
    np.argsort(raw(seed, purpose, c, size), kind="stable") for c in cycles
  ]
  row = np.concatenate(orders).astype(np.int32)
  return row[first % size :][:count]


def to_units(words: np.ndarray) -> np.ndarray:
  """Turns random words u64[...] into f64[...] in [0, 1)."""
  return (words >> np.uint64(11)) * 2.0**-53
