"""The protocol of a task: what it asks of an image, and how it is scored."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypedDict

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from sslprune_jax import data
from sslprune_jax.runtime import rng as rng_lib
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks.task_state import TaskState as TaskState

Batch = dict[str, jax.Array]
Outputs = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


class Views(TypedDict):
  """How a data set's images are shown to a network.

  Attributes:
    augment: `(key[B], u8[B,H,W,C]) -> u8[B,H,W,C]`, for training only.
    normalise: `u8[B,H,W,C] -> f32[B,H,W,C]`.
  """

  augment: Callable[[jax.Array, jax.Array], jax.Array]
  normalise: Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
  """Settings of a task; it has no state of its own.

  Pure methods run inside the step, on one device's share of a batch; those of
  the host run before a training and between its epochs. A subclass changes what
  differs: RotNet is a view.

  Attributes:
    num_outputs: width of the head.
    augment: augmentation; see `Views`.
    normalise: normalisation; see `Views`.
    reads: rows that are read into a batch for each of its images.
    rows: rows that the network sees for each image of the batch.
    samples: number that a duration in samples counts for each of them.
    by_epoch: whether `begin_epoch` is to be called.
    scored_on: "test", or "train" for a task that has no answer for new images.
  """

  num_outputs: int
  augment: Callable[[jax.Array, jax.Array], jax.Array]
  normalise: Callable[[jax.Array], jax.Array]
  reads: int = dataclasses.field(default=1, init=False)
  rows: int = dataclasses.field(default=1, init=False)
  samples: int = dataclasses.field(default=1, init=False)
  by_epoch: ClassVar[bool] = False
  scored_on: ClassVar[str] = "test"

  @property
  def chance(self) -> float:
    """Returns the accuracy of guessing; 0 where that is next to none."""
    return 1 / self.num_outputs

  # On the host.

  @classmethod
  def make(
    cls,
    settings: Mapping[str, Any],
    source: data.Source,
    label_outputs: int,
    views: Views,
  ) -> "Task":
    """Makes the task of a configuration.

    Args:
      settings: fields of the section that has the task's name.
      source: the training images, with all their labels.
      label_outputs: outputs that a head has for labels; 0 for a task that
        does not read them.
      views: augmentation and normalisation.
    """
    del source, label_outputs
    return cls(**settings, **views)

  def head(self, num_features: int) -> nn.Module | None:
    """Returns what stands on the trunk, and is never pruned.

    Args:
      num_features: width of the trunk's features.

    Returns:
      A module of `f32[B,num_features] -> f32[B,K]`, the `logits` that the loss
      reads; None for a linear layer of `num_outputs`.
    """
    del num_features
    return None

  def check(self, source: data.Source, num_features: int) -> None:
    """Refuses settings that do not fit the data or the network.

    Args:
      source: the training images.
      num_features: width of the network's features.

    Raises:
      ValueError: names the field, what was found and what was expected.
    """

  def init(self, rng: jax.Array, source: data.Source) -> TaskState:
    """Returns the task's share of the train state at update 0; pure."""
    del rng, source
    return TaskState()

  def prepare(self, task_state: TaskState, source: data.Source) -> TaskState:
    """Completes what `init` gave by what takes a pass over the images."""
    del source
    return task_state

  def order(
    self, seed: int, epoch: int, source: data.Source, shared: Tree
  ) -> np.ndarray:
    """Returns what an epoch reads, in order; a pure function.

    Args:
      seed: seed of the training.
      epoch: number of the epoch, from 0.
      source: N training images.
      shared: the task's shared state as `begin_epoch` left it, on the host.

    Returns:
      i32[N * reads], places in the source; `reads` in a row for one image of a
      batch.
    """
    del shared
    return rng_lib.permutation(seed, epoch, len(source))

  def begin_epoch(
    self,
    task_state: TaskState,
    head: Tree,
    rng: jax.Array,
    source: data.Source,
    extract: Callable[[], tuple[jax.Array, np.ndarray]],
  ) -> tuple[TaskState, Tree, dict[str, float]]:
    """Prepares an epoch, from what the last update left alone.

    Args:
      task_state: the task's share of the state, on the devices.
      head: params of the head.
      rng: key of this epoch.
      source: the training images.
      extract: returns features f32[S,R,F] of all training images, sharded, and
        the image i32[S,R] that each is of; N where it is padding. The features
        are those of the network as it is, masked, in evaluation mode.

    Returns:
      The task's state, and params of the head, to go on with, on the host or on
      devices, and what to log. The optimizer of the head starts again.
    """
    raise NotImplementedError  # Called where `by_epoch` says so.

  # In the step.

  def view(self, keys: jax.Array, batch: Batch) -> Batch:
    """Makes what the network is trained on.

    Args:
      keys: key[B * reads], one a row, the same on any number of devices.
      batch: `image` u8[B * reads,H,W,C], `label` i32[B * reads], `index`
        i32[B * reads].

    Returns:
      A batch of `B * rows`, `image` f32.
    """
    image = self.normalise(self.augment(keys, batch["image"]))
    return {**batch, "image": image}

  def evaluation_view(self, batch: Batch) -> Batch:
    """Makes what the network is tested on; `weight` f32[B] is 0 on padding."""
    return {**batch, "image": self.normalise(batch["image"])}

  def scores(
    self, outputs: Outputs, batch: Batch, task_state: TaskState
  ) -> Metrics:
    """Scores each row: cross-entropy (nats) and whether the answer is right.

    Args:
      outputs: the network's, with `logits` f32[B, num_outputs].
      batch: a view, with `label` i32[B].
      task_state: this device's share.

    Returns:
      `loss` f32[B] and `accuracy` f32[B].
    """
    del task_state
    return score_classes(outputs["logits"], batch["label"])

  def loss(
    self,
    outputs: Outputs,
    batch: Batch,
    task_state: TaskState,
    rng: jax.Array,
  ) -> tuple[jax.Array, Metrics]:
    """Returns the training loss f32[] and the metrics f32[] to log.

    Args:
      outputs: the network's.
      batch: a view.
      task_state: this device's share, as the update before left it.
      rng: key of this update, the same on all devices.
    """
    del rng
    metrics = jax.tree.map(jnp.mean, self.scores(outputs, batch, task_state))
    return metrics["loss"], metrics

  def update(
    self,
    outputs: Outputs,
    batch: Batch,
    task_state: TaskState,
    metrics: Metrics,
  ) -> TaskState:
    """Returns the task's state after an update; what is shared stays alike.

    Takes what `loss` takes, and its metrics, averaged over devices.
    """
    del outputs, batch, metrics
    return task_state


def score_classes(logits: jax.Array, label: jax.Array) -> Metrics:
  """Returns `loss` f32[B], cross-entropy in nats, and `accuracy` f32[B]."""
  chex.assert_rank([logits, label], [2, 1], custom_message="logits, label")
  chex.assert_equal_shape_prefix([logits, label], 1)
  return {
    "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
    "accuracy": (logits.argmax(-1) == label).astype(jnp.float32),
  }
