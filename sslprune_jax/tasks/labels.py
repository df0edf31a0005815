"""Labels: cross-entropy on the labels, the paper's supervised task."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import optax

from sslprune_jax.tasks.base import Batch, Metrics, Outputs, Task, TaskState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(Task):
  """Which class is the image of?"""

  @classmethod
  def make(cls, settings, source, label_outputs, views):
    """Makes the task; one of several labels where an image may have them.

    Whose labels are seen, the `settings`, is for who chooses the images.
    """
    del settings
    several = source.multi_label
    return (ManyLabels if several else cls)(num_outputs=label_outputs, **views)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ManyLabels(Task):
  """Which classes does the image show? One logistic regression a class.

  Labels are i32[B,K], -1 where the answer does not count.
  """

  def scores(
    self, outputs: Outputs, batch: Batch, task_state: TaskState
  ) -> Metrics:
    """Returns `loss` f32[B], nats summed over the classes that count."""
    del task_state
    return {"loss": many_label_losses(outputs["logits"], batch["label"])}


def many_label_losses(logits: jax.Array, label: jax.Array) -> jax.Array:
  """Returns the binary cross-entropies f32[B], summed over classes.

  Args:
    logits: f32[B,K].
    label: i32[B,K]: 1, 0, or -1 where the answer does not count.
  """
  chex.assert_rank([logits, label], 2, custom_message="logits, label")
  chex.assert_equal_shape([logits, label])
  losses = optax.sigmoid_binary_cross_entropy(logits, (label == 1) * 1.0)
  return jnp.where(label >= 0, losses, 0.0).sum(axis=1)
