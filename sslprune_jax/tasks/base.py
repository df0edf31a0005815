"""The protocol of a task: what it asks of an image, and how it is scored."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Batch = dict[str, jax.Array]
Outputs = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Task:
  """Settings of a task; it has no state of its own.

  Pure methods run inside the step, on one device's share of a batch. A
  subclass changes what differs: RotNet is a view.

  Attributes:
    num_outputs: width of the head.
    augment: `(key[B], u8[B,H,W,C]) -> u8[B,H,W,C]`, for training only.
    normalise: `u8[B,H,W,C] -> f32[B,H,W,C]`.
    rows: images that the network sees for each image of the batch.
  """

  num_outputs: int
  augment: Callable[[jax.Array, jax.Array], jax.Array]
  normalise: Callable[[jax.Array], jax.Array]
  rows: int = dataclasses.field(default=1, init=False)

  def init(self, rng: jax.Array, num_images: int) -> Any:
    """Returns the task's share of the train state, a pytree of arrays."""
    del rng, num_images
    return {}

  def view(self, keys: jax.Array, batch: Batch) -> Batch:
    """Makes what the network is trained on.

    Args:
      keys: key[B], one an image, the same on any number of devices.
      batch: `image` u8[B,H,W,C], `label` i32[B], `index` i32[B].

    Returns:
      A batch of `B * rows`, `image` f32.
    """
    image = self.normalise(self.augment(keys, batch["image"]))
    return {**batch, "image": image}

  def evaluation_view(self, batch: Batch) -> Batch:
    """Makes what the network is tested on; `weight` f32[B] is 0 on padding."""
    return {**batch, "image": self.normalise(batch["image"])}

  def scores(self, outputs: Outputs, batch: Batch) -> dict[str, jax.Array]:
    """Scores each row: cross-entropy (nats) and whether the answer is right.

    Args:
      outputs: the network's, with `logits` f32[B, num_outputs].
      batch: a view, with `label` i32[B].

    Returns:
      `loss` f32[B] and `accuracy` f32[B].
    """
    logits, label = outputs["logits"], batch["label"]
    return {
      "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
      "accuracy": (logits.argmax(-1) == label).astype(jnp.float32),
    }

  def loss(
    self, outputs: Outputs, batch: Batch, task_state: Any
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns the training loss f32[] and the metrics f32[] to log."""
    del task_state
    metrics = jax.tree.map(jnp.mean, self.scores(outputs, batch))
    return metrics["loss"], metrics

  def update(self, outputs: Outputs, batch: Batch, task_state: Any) -> Any:
    """Returns the task's state after an update."""
    del outputs, batch
    return task_state
