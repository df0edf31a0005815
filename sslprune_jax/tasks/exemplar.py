"""Exemplar: is this another view of the same image?

Every image with its transformations is a class of its own, learned by a triplet
margin loss.

Reference: Dosovitskiy et al. 2014, arXiv 1406.6909; as triplets, Doersch and
Zisserman 2017, arXiv 1708.07860.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.config.tasks import MININGS, check, default
from sslprune_jax.features.neighbours import similarities, unit
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks.base import Batch, Metrics, Outputs, Task, TaskState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exemplar(Task):
  """Brings views of one image nearer to each other than to other images.

  The views of an image stand in consecutive rows of a batch, each read and
  augmented on its own. Views on all devices are negatives.

  Attributes:
    views: views of each image, 2 to 8.
    margin: cosine distance, 0 to 2, by which a negative is to be farther than a
      positive.
    mining: "semi-hard" or "batch-hard": see `triplet_losses`.
  """

  views: int = default("exemplar", "views")
  margin: float = default("exemplar", "margin")
  mining: str = default("exemplar", "mining")

  def __post_init__(self):
    check("exemplar", self)
    object.__setattr__(self, "reads", self.views)
    object.__setattr__(self, "rows", self.views)

  @classmethod
  def make(cls, settings, source, label_outputs, views):
    """Makes the task; its embedding is what the head gives."""
    del source, label_outputs
    settings = dict(settings)
    return cls(num_outputs=settings.pop("embedding"), **settings, **views)

  @property
  def chance(self) -> float:
    """Returns 0: among all rows of a batch, guessing finds next to none."""
    return 0.0

  def order(
    self, seed: int, epoch: int, source: data.Source, shared: Tree
  ) -> np.ndarray:
    """Reads every image once for each of its views."""
    images = super().order(seed, epoch, source, shared)
    return np.repeat(images, self.views)

  def evaluation_view(self, batch: Batch) -> Batch:
    """Makes the views of test images, the same ones in every evaluation."""
    batch = {k: jnp.repeat(v, self.views, axis=0) for k, v in batch.items()}
    number = jnp.arange(len(batch["index"])) % self.views
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
      jax.random.key(0), batch["index"] * self.views + number
    )
    return self.view(keys, batch)

  def scores(
    self, outputs: Outputs, batch: Batch, task_state: TaskState
  ) -> Metrics:
    """Scores each row; what `accuracy` is depends on the size of the batch.

    Returns:
      `loss` f32[B], and `accuracy` f32[B]: whether the nearest of all other
      rows of the batch is a view of the same image. By chance,
      (views - 1) / (rows - 1).
    """
    del task_state
    embedding = unit(outputs["logits"])
    index = batch["index"]
    real = batch.get("weight", jnp.ones(len(index))) > 0
    others, of_others, are_real = devices.all_gather((embedding, index, real))
    loss, accuracy = triplet_losses(
      embedding,
      index,
      others,
      jnp.where(are_real, of_others, -1),
      jax.lax.axis_index(devices.AXIS) * len(index),
      views=self.views,
      margin=self.margin,
      mining=self.mining,
    )
    return {"loss": loss, "accuracy": accuracy}


def triplet_losses(
  anchors: jax.Array,
  index: jax.Array,
  candidates: jax.Array,
  candidate_index: jax.Array,
  first: jax.Array | int,
  *,
  views: int,
  margin: float,
  mining: str,
) -> tuple[jax.Array, jax.Array]:
  """Returns the triplet margin loss of each anchor, in cosine distance.

  "semi-hard" pairs an anchor and each of its positives with the nearest
  negative that is farther than that positive (FaceNet, arXiv 1503.03832). Where
  every negative is nearer, it takes the farthest one: the least hard, which
  still gives a gradient. "batch-hard" takes the farthest positive and the
  nearest negative (arXiv 1703.07737). Without any negative the loss is 0.

  Args:
    anchors: f32[A,E], rows of length 1; each `views` of them are of one image.
    index: i32[A], the image of each.
    candidates: f32[C,E], rows of length 1, the anchors among them.
    candidate_index: i32[C]; -1 for what is no candidate.
    first: place of the first anchor among the candidates.
    views: views of an image.
    margin: cosine distance.
    mining: one of `("semi-hard", "batch-hard")`.

  Returns:
    The loss f32[A] and f32[A], 1 where the nearest other candidate is a
    positive.

  Raises:
    ValueError: an unknown mining.
  """
  if mining not in MININGS:
    raise ValueError(f"mining: found {mining!r}, expected one of {MININGS}")
  _check(anchors, index, candidates, candidate_index)
  distance = 1 - similarities(anchors, candidates)
  is_negative = candidate_index[None] != index[:, None]
  is_negative &= candidate_index[None] >= 0
  any_negative = is_negative.any(axis=1)
  positives = _positives(distance, first, views)
  if mining == "batch-hard":
    hardest = jnp.stack(positives).max(axis=0)
    pairs = [(hardest, _nearest(distance, is_negative))]
  else:
    negatives = _semi_hard(distance, is_negative, positives)
    pairs = list(zip(positives, negatives, strict=True))
  losses = [
    jnp.where(
      any_negative,
      jax.nn.relu(positive - jnp.where(any_negative, negative, 0) + margin),
      0,
    )
    for positive, negative in pairs
  ]
  is_first = jnp.stack(positives).min(axis=0) < _nearest(distance, is_negative)
  return sum(losses) / len(losses), is_first.astype(jnp.float32)


def _check(anchors, index, candidates, candidate_index) -> None:
  chex.assert_rank(
    [anchors, index, candidates, candidate_index],
    [2, 1, 2, 1],
    custom_message="anchors, index, candidates, candidate_index",
  )
  chex.assert_equal_shape_prefix([anchors, index], 1)
  chex.assert_equal_shape_prefix([candidates, candidate_index], 1)


def _positives(
  distance: jax.Array, first: jax.Array | int, views: int
) -> list[jax.Array]:
  """Returns distances f32[A] of f32[A,C]: to each other row of the group."""
  row = jnp.arange(len(distance))
  group = row // views * views
  return [
    jnp.take_along_axis(
      distance, (first + group + (row - group + i) % views)[:, None], axis=1
    )[:, 0]
    for i in range(1, views)
  ]


def _nearest(distance: jax.Array, among: jax.Array) -> jax.Array:
  """Returns the smallest distance f32[A] among bool[A,C]; inf among none."""
  return jnp.where(among, distance, jnp.inf).min(axis=1)


def _semi_hard(
  distance: jax.Array, is_negative: jax.Array, positives: list[jax.Array]
) -> list[jax.Array]:
  """Returns distances f32[A]: of the negative of each positive."""
  farthest = jnp.where(is_negative, distance, -jnp.inf).max(axis=1)
  negatives = []
  for positive in positives:
    farther = is_negative & (distance > positive[:, None])
    negative = _nearest(distance, farther)
    negatives.append(jnp.where(jnp.isinf(negative), farthest, negative))
  return negatives
