"""Nearest neighbours over devices, exact, and their weighted vote."""

import chex
import jax
import jax.numpy as jnp

from sslprune_jax.runtime import devices


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
  similarity = jnp.where(held[None], similarities(queries, rows), -jnp.inf)
  # The nearest rows of every device, then the nearest of those.
  near, place = jax.lax.top_k(similarity, min(count, len(held)))
  near, answer = jax.lax.all_gather(
    (near, answers[place]), devices.AXIS, axis=1, tiled=True
  )
  near, place = jax.lax.top_k(near, min(count, near.shape[1]))
  return near, jnp.take_along_axis(answer, place, axis=1)


def vote(
  near: jax.Array, answer: jax.Array, temperature: float, num_classes: int
) -> jax.Array:
  """Lets neighbours vote, each by exp(similarity / temperature).

  Args:
    near: f32[Q,k], similarities; minus infinity has no vote.
    answer: i32[Q,k], classes.
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
  votes = jnp.exp(near / temperature)
  return ballots.at[voters, answer].add(votes).argmax(axis=1)
