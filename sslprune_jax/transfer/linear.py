"""`linear`: a linear classifier by SGD on features that are extracted once.

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
import numpy as np
import optax

from sslprune_jax import data
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import devices, rng, trees
from sslprune_jax.runtime.errors import DivergedError
from sslprune_jax.training.metrics import MetricLines
from sslprune_jax.training.recipe import make_recipe
from sslprune_jax.transfer.base import Probe, recipe_settings
from sslprune_jax.transfer.finetune import FineTuning

_ROWS = 1024  # that statistics are summed over at a time


@flax.struct.dataclass
class Classifier:
  """A linear classifier, and the statistics of the features that it reads.

  Attributes:
    params: `{"head": {"kernel": f32[F,K], "bias": f32[K]}}`.
    mean: f32[F].
    scale: f32[F], one over the deviation.
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
  features: jax.Array, index: jax.Array, num_classes: int
) -> Classifier:
  """Makes a classifier that has not learnt yet: all zeros.

  Args:
    features: f32[D,R,F], split over the devices.
    index: i32[N], places of the training images among the D * R.
    num_classes: number of classes K.

  Returns:
    The classifier, replicated.
  """
  chex.assert_rank([features, index], [3, 1], custom_message="features, index")
  mean, scale = _moments(features, index)
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
      x = devices.look_up(features, row)
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
def accuracy(
  classifier: Classifier, features: jax.Array, labels: jax.Array
) -> jax.Array:
  """Returns the share of rows that are classified right, f32[].

  Args:
    classifier: classifier, trained.
    features: f32[D,R,F].
    labels: i32[D,R], -1 on padding, which does not count.
  """
  chex.assert_rank(features, 3, custom_message="features")
  chex.assert_rank(labels, 2, custom_message="labels")
  chex.assert_equal_shape_prefix([features, labels], 2)
  answer = classifier.logits(features.reshape(-1, features.shape[-1]))
  right = answer.argmax(-1).reshape(labels.shape) == labels
  return jnp.sum(right) / jnp.sum(labels >= 0)


def _logits(params: dict, features: jax.Array) -> jax.Array:
  return features @ params["head"]["kernel"] + params["head"]["bias"][None]


def _moments(
  features: jax.Array, index: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns the mean f32[F] of the rows, and one over their deviation."""
  blocks = -(-len(index) // _ROWS)
  padding = blocks * _ROWS - len(index)
  counted = jnp.pad(jnp.ones(len(index)), (0, padding))
  index = jnp.pad(index, (0, padding)).reshape(blocks, _ROWS)
  return _over_blocks()(features, index, counted.reshape(blocks, _ROWS, 1))


@functools.cache
def _over_blocks() -> Callable:
  specs = (devices.ROWS, devices.SAME, devices.SAME)
  return jax.jit(devices.over_shards(_of_blocks, specs, devices.SAME))


def _of_blocks(features, index, counted):
  features = features[0]

  def mean(of_row):
    def add(total, block):
      index, counted = block
      rows = of_row(devices.look_up(features, index))
      return total + jnp.sum(rows * counted, axis=0), None

    zeros = jnp.zeros(features.shape[-1])
    return jax.lax.scan(add, zeros, (index, counted))[0] / jnp.sum(counted)

  centre = mean(lambda rows: rows)
  variance = mean(lambda rows: jnp.square(rows - centre[None]))
  return centre, jax.lax.rsqrt(variance + 1e-5)


class Linear(Probe):
  """A linear classifier by SGD."""

  section = "transfer.linear.train"

  @classmethod
  def make(cls, row, config, *args):
    """Makes this; through the frozen trunk, where images are augmented."""
    if not config.transfer.linear.augment:
      return cls(row, config, *args)
    return FineTuning(row, config, *args, section=cls.section, probes=True)

  @classmethod
  def factor(cls, row, config, stage):
    """Returns that of the target: large ones are trained on for less long."""
    del row
    return config.transfer.targets[stage.target].linear

  def check(self, train: data.Source) -> None:
    """Refuses a recipe that does not fit the images."""
    self._recipe = make_recipe(self.config, self.section, len(train))
    self._epoch = make_epoch(self._recipe.optimizer, self._recipe.schedule)

  def judge(self, train, test, directory, seed):
    """Trains on the features, and tests with the last weights."""
    batch_size, length = self._recipe.batch_size, self._recipe.length
    per_epoch = len(train.place) // batch_size
    everywhere = devices.replicated_sharding()
    labels = train.labels_by_row().reshape(-1)
    place, labels = jax.device_put(
      (train.place.astype(np.int32), labels), everywhere
    )
    classifier = create(train.rows, place, self.target.num_classes)
    opt_state = self._recipe.optimizer.init(classifier.params)
    lines = MetricLines(
      directory / workdir_lib.METRICS,
      every=1,
      updates_per_epoch=per_epoch,
      start=0,
    )
    for epoch, first in enumerate(range(0, length, per_epoch)):
      order = rng.permutation(seed, epoch, len(train.place))
      count = min(per_epoch, length - first)
      index = train.place[order[: count * batch_size]]
      classifier, opt_state, metrics = self._epoch(
        classifier,
        opt_state,
        train.rows,
        labels,
        index.astype(np.int32).reshape(count, -1),
        np.int32(first),
      )
      metrics = {name: float(value) for name, value in metrics.items()}
      found = {"loss": metrics["loss"], "classifier": (classifier, opt_state)}
      if not trees.are_finite(found).all():
        raise DivergedError(
          f"{directory}: epoch {epoch + 1}: the loss is {metrics['loss']}, "
          "expected it and the classifier to be finite"
        )
      lines.add(first + count, metrics)
    lines.close()
    truth = jax.device_put(test.labels_by_row(), devices.split())
    right = float(accuracy(classifier, test.rows, truth))
    recipe = self.config.transfer.linear.train
    return {"accuracy": right}, recipe_settings(recipe) | {"augment": False}
