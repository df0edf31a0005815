"""A linear classifier by SGD, in batches of features that were extracted once.

The features stay on the devices, split over them; an epoch is one call. Every
device sees the whole batch, so that any number of them ends in the same bits.

Reference: Goyal et al. 2019, arXiv 1905.01235, section 5.
"""

import functools
from collections.abc import Callable

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax

from sslprune_jax.runtime import devices, samples

_ROWS = 1024  # that statistics are summed over at a time


@flax.struct.dataclass
class Classifier:
  """A linear classifier, and the statistics of the features that it reads.

  Attributes:
    params: `{"head": {"kernel": f32[F,K], "bias": f32[K]}}`.
    mean: f32[F], equal at all places of a channel.
    scale: f32[F], one over the deviation, alike.
  """

  params: dict
  mean: jax.Array
  scale: jax.Array

  def logits(self, features: jax.Array) -> jax.Array:
    """Returns f32[B,K] of features f32[B,F]."""
    chex.assert_rank(features, 2, custom_message="features")
    features = (features - self.mean[None]) * self.scale[None]
    return _logits(self.params, features)


def create(
  features: jax.Array,
  index: jax.Array,
  num_classes: int,
  channels: int | None = None,
) -> Classifier:
  """Makes a classifier that has not learnt yet: all zeros.

  Args:
    features: f32[D,R,F], split over the devices.
    index: i32[N], places of the training images among the D * R.
    num_classes: number of classes K.
    channels: number of channels that the F numbers are of, the last axis of a
      grid, over whose places statistics are taken; F by default.

  Returns:
    The classifier, replicated.
  """
  chex.assert_rank([features, index], [3, 1], custom_message="features, index")
  mean, scale = _moments(features, index, channels or features.shape[-1])
  shape = (features.shape[-1], num_classes)
  head = {"kernel": jnp.zeros(shape), "bias": jnp.zeros(num_classes)}
  return Classifier({"head": head}, mean, scale)


def make_epoch(
  optimizer: optax.GradientTransformation,
  schedule: Callable[[jax.Array], jax.Array],
) -> Callable:
  """Makes an epoch of updates, compiled over all devices.

  Args:
    optimizer: optimizer without a learning rate, from `training.optimizer`.
    schedule: `i32[] update -> f32[] learning rate`.

  Returns:
    `(classifier, opt_state, features f32[D,R,F], labels i32[D * R], index
    i32[U,B], step) -> (classifier, opt_state, metrics)`: U updates from update
    `step` on, each on the images at B places; labels and index are replicated,
    and metrics are means over the updates.
  """

  def epoch(classifier, opt_state, features, labels, index, step):
    features = features[0]

    def update(carry, row):
      params, opt_state, step = carry
      x = samples.look_up(features, row)
      x = (x - classifier.mean[None]) * classifier.scale[None]
      gradients, metrics = jax.grad(loss, has_aux=True)(params, x, labels[row])
      direction, opt_state = optimizer.update(gradients, opt_state, params)
      rate = schedule(step)
      params = jax.tree.map(lambda w, d: w - rate * d, params, direction)
      return (params, opt_state, step + 1), metrics

    (params, opt_state, _), metrics = jax.lax.scan(
      update, (classifier.params, opt_state, step), index
    )
    return (
      classifier.replace(params=params),
      opt_state,
      jax.tree.map(jnp.mean, metrics),
    )

  same = devices.SAME
  return jax.jit(
    devices.over_shards(
      epoch, (same, same, devices.ROWS, same, same, same), (same, same, same)
    )
  )


def loss(
  params: dict, features: jax.Array, labels: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Returns the cross-entropy in nats, and the metrics f32[] to log.

  Args:
    params: `{"head": {"kernel": f32[F,K], "bias": f32[K]}}`.
    features: f32[B,F], of mean 0 and deviation 1.
    labels: i32[B].
  """
  chex.assert_rank(features, 2, custom_message="features")
  chex.assert_rank(labels, 1, custom_message="labels")
  chex.assert_equal_shape_prefix([features, labels], 1)
  logits = _logits(params, features)
  entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  right = (logits.argmax(-1) == labels).astype(jnp.float32)
  metrics = {"loss": entropy.mean(), "accuracy": right.mean()}
  return metrics["loss"], metrics


@jax.jit
def scores(
  classifier: Classifier, features: jax.Array, labels: jax.Array
) -> dict[str, jax.Array]:
  """Scores a classifier on rows.

  Args:
    classifier: classifier, trained.
    features: f32[D,R,F].
    labels: i32[D,R], -1 on padding, which does not count.

  Returns:
    "accuracy", the share that is classified right, and "loss", the mean
    cross-entropy in nats; f32[].
  """
  chex.assert_rank(features, 3, custom_message="features")
  chex.assert_rank(labels, 2, custom_message="labels")
  chex.assert_equal_shape_prefix([features, labels], 2)
  answer = classifier.logits(features.reshape(-1, features.shape[-1]))
  counted = labels >= 0
  right = answer.argmax(-1).reshape(labels.shape) == labels
  entropy = optax.softmax_cross_entropy_with_integer_labels(
    answer, jnp.maximum(labels, 0).reshape(-1)
  )
  entropy = jnp.where(counted, entropy.reshape(labels.shape), 0.0)
  count = jnp.sum(counted)
  return {"accuracy": jnp.sum(right) / count, "loss": jnp.sum(entropy) / count}


def _logits(params: dict, features: jax.Array) -> jax.Array:
  return features @ params["head"]["kernel"] + params["head"]["bias"][None]


def _moments(
  features: jax.Array, index: jax.Array, channels: int
) -> tuple[jax.Array, jax.Array]:
  """Returns the mean f32[F] of the channels, and one over their deviation."""
  blocks = -(-len(index) // _ROWS)
  padding = blocks * _ROWS - len(index)
  counted = jnp.pad(jnp.ones(len(index)), (0, padding))
  index = jnp.pad(index, (0, padding)).reshape(blocks, _ROWS)
  counted = counted.reshape(blocks, _ROWS, 1)
  return _over_blocks(channels)(features, index, counted)


@functools.cache
def _over_blocks(channels: int) -> Callable:
  specs = (devices.ROWS, devices.SAME, devices.SAME)
  of_blocks = functools.partial(_of_blocks, channels)
  return jax.jit(devices.over_shards(of_blocks, specs, devices.SAME))


def _of_blocks(channels, features, index, counted):
  features = features[0]
  places = features.shape[-1] // channels

  def mean(of_row):
    def add(total, block):
      index, counted = block
      rows = of_row(samples.look_up(features, index))
      return total + jnp.sum(rows * counted, axis=0), None

    zeros = jnp.zeros(features.shape[-1])
    total = jax.lax.scan(add, zeros, (index, counted))[0] / jnp.sum(counted)
    # Of a channel, over its places; of features, which have one, as it is.
    return jnp.tile(total.reshape(places, channels).mean(axis=0), places)

  centre = mean(lambda rows: rows)
  variance = mean(lambda rows: jnp.square(rows - centre[None]))
  return centre, jax.lax.rsqrt(variance + 1e-5)
