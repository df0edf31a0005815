"""NPID: which of all training images is this?

Non-parametric instance discrimination: the classifier's weights are a memory
bank of the images' own embeddings.

Reference: Wu et al. 2018, arXiv 1805.01978.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp

from sslprune_jax import data
from sslprune_jax.config.tasks import default
from sslprune_jax.features.neighbours import nearest, similarities, unit, vote
from sslprune_jax.runtime import devices, samples
from sslprune_jax.tasks.base import (
  Batch,
  Metrics,
  Outputs,
  Task,
  TaskState,
  score_classes,
)

_EMA = 0.99


@dataclasses.dataclass(frozen=True, kw_only=True)
class NPID(Task):
  """Tells every training image from all others.

  The bank is split over the devices by image. Noise is drawn once an update for
  the whole batch, uniformly and with replacement, so that its scores are one
  matrix product; the reference draws it for every image and gathers B x M rows.

  A new image has no row in the bank. So what is scored is the class that its
  nearest rows vote for or, without labels, whether a training image is nearest
  to its own row.

  Attributes:
    num_classes: classes of the labels; 0 without.
    temperature: T, of the softmax over similarities.
    momentum: share of the old row in a new one.
    objective: loss: "nce", or "softmax" over the whole bank for small sets.
    negatives: M, of "nce".
    normaliser: Z of "nce": a moving average ("ema"), or that of the "first"
      batch, as in the reference, which rests on that one batch.
    neighbours: number of rows that vote.
  """

  num_classes: int = 0
  temperature: float = default("npid", "temperature")
  momentum: float = default("npid", "momentum")
  objective: str = default("npid", "objective")
  negatives: int = default("npid", "negatives")
  normaliser: str = default("npid", "normaliser")
  neighbours: int = default("npid", "neighbours")

  @classmethod
  def make(cls, settings, source, label_outputs, views):
    """Makes the task; its embedding is what the head gives."""
    del label_outputs
    settings = dict(settings)
    classes = source.num_classes
    if data.is_partly_labelled(source):
      classes = 0  # Few of the neighbours could vote.
    return cls(
      num_outputs=settings.pop("embedding"),
      num_classes=classes,
      **settings,
      **views,
    )

  @property
  def scored_on(self) -> str:
    """Says which images `scores` has an answer for."""
    return "test" if self.num_classes else "train"

  @property
  def chance(self) -> float:
    """Returns the accuracy of guessing a class; of an image, next to none."""
    return 1 / self.num_classes if self.num_classes else 0.0

  def check(self, source: data.Source, num_features: int) -> None:
    """Refuses more negatives than images."""
    del num_features
    if self.objective == "nce" and self.negatives > len(source):
      raise ValueError(
        f"npid.negatives: found {self.negatives}, expected at most the "
        f"{len(source)} training images; npid.objective='softmax' takes all of "
        "so few"
      )

  def init(self, rng: jax.Array, source: data.Source) -> TaskState:
    """Makes a bank of random directions."""
    rows = {"held": jnp.ones(len(source), bool)}  # False on padding.
    if self.num_classes:
      rows["label"] = jnp.asarray(source.labels, jnp.int32)
    rows = jax.tree.map(samples.split, rows)
    rows["bank"] = samples.draw(self._draw, rng, len(source))
    shared = {}
    if self.objective == "nce":
      shared["normaliser"] = jnp.float32(0)  # Not known yet.
    return TaskState(shared, rows)

  def _draw(self, rng: jax.Array) -> jax.Array:
    """Draws a row of the bank."""
    row = jax.random.uniform(rng, (1, self.num_outputs), minval=-1.0)
    return unit(row)[0]

  def loss(
    self,
    outputs: Outputs,
    batch: Batch,
    task_state: TaskState,
    rng: jax.Array,
  ) -> tuple[jax.Array, Metrics]:
    """Tells the images' own rows from noise, or from all rows."""
    embedding = unit(outputs["logits"])
    rows = task_state.by_sample
    if self.objective == "softmax":
      bank, held = devices.all_gather((rows["bank"], rows["held"]))
      logits = similarities(embedding, bank) / self.temperature
      logits = jnp.where(held[None], logits, -jnp.inf)
      metrics = jax.tree.map(jnp.mean, score_classes(logits, batch["index"]))
      return metrics["loss"], metrics
    size = jax.lax.psum(jnp.sum(rows["held"]), devices.AXIS)
    noise = jax.random.randint(rng, (self.negatives,), 0, size)
    # One exchange for both: the rows of all devices' images, then the noise.
    index = devices.all_gather(batch["index"])
    found = samples.look_up(rows["bank"], jnp.concatenate([index, noise]))
    own, others = devices.local_rows(found, len(embedding)), found[len(index) :]
    positive = jnp.sum(embedding * own, axis=1) / self.temperature
    negative = similarities(embedding, others) / self.temperature
    estimate = size * jax.lax.pmean(
      jnp.mean(jnp.exp(jax.lax.stop_gradient(negative))), devices.AXIS
    )
    known = task_state.shared["normaliser"]
    loss = nce_losses(
      positive, negative, jnp.where(known > 0, known, estimate), size
    )
    metrics = {
      "loss": jnp.mean(loss),
      "accuracy": jnp.mean(positive > negative.max(axis=1)),
      "normaliser": estimate,
    }
    return metrics["loss"], metrics

  def update(
    self,
    outputs: Outputs,
    batch: Batch,
    task_state: TaskState,
    metrics: Metrics,
  ) -> TaskState:
    """Moves the rows of the batch's images towards their new embeddings."""
    rows, shared = task_state.by_sample, dict(task_state.shared)
    embedding, index = devices.all_gather(
      (unit(outputs["logits"]), batch["index"])
    )
    old = samples.read_local(rows["bank"], index)
    new = unit(self.momentum * old + (1 - self.momentum) * embedding)
    if self.objective == "nce":
      known, found = shared["normaliser"], metrics["normaliser"]
      kept = 1.0 if self.normaliser == "first" else _EMA
      moved = kept * known + (1 - kept) * found
      shared["normaliser"] = jnp.where(known > 0, moved, found)
    bank = samples.write(rows["bank"], index, new)
    return TaskState(shared, {**rows, "bank": bank})

  def scores(
    self, outputs: Outputs, batch: Batch, task_state: TaskState
  ) -> Metrics:
    """Lets the nearest rows of the bank vote, each by exp(similarity / T)."""
    rows = task_state.by_sample
    queries = devices.all_gather(unit(outputs["logits"]))
    bank, held = rows["bank"], rows["held"]
    if self.num_classes:
      near, answer = nearest(
        queries, bank, held, rows["label"], self.neighbours
      )
      answer = vote(near, answer, self.temperature, self.num_classes)
    else:
      first = jax.lax.axis_index(devices.AXIS) * len(held)
      own = first + jnp.arange(len(held))
      answer = nearest(queries, bank, held, own, count=1)[1][:, 0]
    answer = devices.local_rows(answer, len(batch["index"]))
    truth = batch["label" if self.num_classes else "index"]
    return {"accuracy": (answer == truth).astype(jnp.float32)}


def nce_losses(
  positive: jax.Array, negative: jax.Array, normaliser: jax.Array, size: int
) -> jax.Array:
  """Returns the noise-contrastive loss of each image.

  The odds that a row is the image's own and not noise, which is uniform, are
  P / (M / N) with P = exp(score) / Z. In log space, as exp(1 / 0.07) is 1.6e6.

  Args:
    positive: f32[B], similarity to the own row over the temperature.
    negative: f32[B,M], to the noise.
    normaliser: Z, f32[].
    size: N, rows in the bank.

  Returns:
    f32[B], nats.

  Reference: arXiv 1805.01978, equations 4 to 7.
  """
  chex.assert_rank(
    [positive, negative, normaliser],
    [1, 2, 0],
    custom_message="positive, negative, normaliser",
  )
  chex.assert_equal_shape_prefix([positive, negative], 1)
  shift = jnp.log(size / (normaliser * negative.shape[1]))
  return jax.nn.softplus(-(positive + shift)) + jnp.sum(
    jax.nn.softplus(negative + shift), axis=1
  )
