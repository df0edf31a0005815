"""Nearest neighbours over devices, exact, and their weighted vote."""

import chex
import jax
import jax.numpy as jnp

from sslprune_jax.runtime import devices

_ROWS_AT_ONCE = 65_536  # of which similarities are held


def unit(vectors: jax.Array) -> jax.Array:
  """Scales rows f32[N,D] to length 1; one of zeros stays zero."""
  chex.assert_rank(vectors, 2, custom_message="vectors")
  square = jnp.sum(vectors * vectors, axis=-1, keepdims=True)
  return vectors * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def similarities(rows: jax.Array, others: jax.Array) -> jax.Array:
  """Returns the inner products f32[A,B] of f32[A,D] with f32[B,D].

  In full float32 on a TPU too: divided by a small temperature, or compared with
  each other, the digits of bfloat16 are too few.
  """
  chex.assert_rank([rows, others], 2, custom_message="rows, others")
  return jnp.dot(rows, others.T, precision=jax.lax.Precision.HIGHEST)


def nearest(
  queries: jax.Array,
  rows: jax.Array,
  held: jax.Array,
  answers: jax.Array,
  count: int,
) -> tuple[jax.Array, jax.Array]:
  """Finds the nearest rows of all devices, inside a step.

  Args:
    queries: f32[Q,F], of length 1, the same on all devices.
    rows: f32[R,F], of length 1, this device's.
    held: bool[R], False on padding.
    answers: i32[R], what each row stands for.
    count: number of rows to find; fewer where all devices hold fewer.

  Returns:
    Similarities f32[Q,count], the largest first, and their answers
    i32[Q,count].
  """
  chex.assert_rank(
    [queries, rows, held, answers],
    [2, 2, 1, 1],
    custom_message="queries, rows, held, answers",
  )
  chex.assert_equal_shape_prefix([rows, held, answers], 1)
  found = []
  # In slices: all similarities of 1.28 million rows would take 1.3 GB.
  for first in range(0, len(rows), _ROWS_AT_ONCE):
    part = slice(first, first + _ROWS_AT_ONCE)
    similarity = similarities(queries, rows[part])
    similarity = jnp.where(held[None, part], similarity, -jnp.inf)
    of_part = jnp.broadcast_to(answers[part], similarity.shape)
    found.append(_nearest_of(similarity, of_part, count))
  # The nearest rows of every slice, then of every device, then of all.
  near, answer = (
    jnp.concatenate(each, axis=1) for each in zip(*found, strict=True)
  )
  near, answer = _nearest_of(near, answer, count)
  near, answer = jax.lax.all_gather(
    (near, answer), devices.AXIS, axis=1, tiled=True
  )
  return _nearest_of(near, answer, count)


def _nearest_of(
  similarity: jax.Array, answer: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  near, place = jax.lax.top_k(similarity, min(count, similarity.shape[1]))
  return near, jnp.take_along_axis(answer, place, axis=1)


def vote(
  near: jax.Array, answer: jax.Array, temperature: float, num_classes: int
) -> jax.Array:
  """Lets neighbours vote, each by exp(similarity / temperature).

  Args:
    near: f32[Q,k], similarities; minus infinity has no vote.
    answer: i32[Q,k], classes; -1, of an image that has none, has no vote.
    temperature: divisor, 0.02 or more, so that the vote stays finite.
    num_classes: number of classes K.

  Returns:
    i32[Q], the class with the most votes.

  Reference: arXiv 1805.01978, section 3.4.
  """
  chex.assert_rank([near, answer], 2, custom_message="near, answer")
  chex.assert_equal_shape([near, answer])
  ballots = jnp.zeros((len(near), num_classes))
  voters = jnp.arange(len(near))[:, None]
  votes = jnp.where(answer < 0, 0, jnp.exp(near / temperature))
  return ballots.at[voters, answer].add(votes).argmax(axis=1)
