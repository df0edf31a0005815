"""S4L RotNet: rotations of all images, and the labels of a few.

Reference: Zhai et al. 2019, arXiv 1905.03670.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.config.tasks import default
from sslprune_jax.runtime import rng as rng_lib
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks.base import (
  Batch,
  Metrics,
  Outputs,
  Task,
  TaskState,
  score_classes,
)
from sslprune_jax.tasks.rotnet import NUM_ROTATIONS, all_rotations


@dataclasses.dataclass(frozen=True, kw_only=True)
class S4L(Task):
  """Predicts rotations, and labels where they are known.

  Beside each image of a batch stands a labelled one; both go through the
  network together, at all four angles, and an epoch is counted on the former.
  Rotations are asked of both, the label of the latter at every angle. The head
  holds the outputs for rotations, then those for labels.

  Attributes:
    rotation_weight: weight of the rotation loss beside the label loss.
  """

  rotation_weight: float = default("s4l", "rotation_weight")

  @classmethod
  def make(cls, settings, source, label_outputs, views):
    """Makes the task; its head has outputs for rotations, then for labels."""
    del source
    return cls(num_outputs=NUM_ROTATIONS + label_outputs, **settings, **views)

  def __post_init__(self):
    object.__setattr__(self, "reads", 2)
    object.__setattr__(self, "rows", 2 * NUM_ROTATIONS)
    object.__setattr__(self, "samples", 2 * NUM_ROTATIONS)

  @property
  def chance(self) -> float:
    """Returns the accuracy of guessing a class."""
    return 1 / (self.num_outputs - NUM_ROTATIONS)

  def order(
    self, seed: int, epoch: int, source: data.Source, shared: Tree
  ) -> np.ndarray:
    """Pairs every image with a labelled one."""
    images = super().order(seed, epoch, source, shared)
    labelled = np.flatnonzero(source.labels >= 0)
    partners = rng_lib.cycle_permutations(
      seed, "labelled", epoch, len(source), len(labelled)
    )
    return np.stack([images, labelled[partners]], axis=1).ravel()

  def view(self, keys: jax.Array, batch: Batch) -> Batch:
    """Turns every row to all four angles; `label` is the angle."""
    view = super().view(keys, batch)
    return all_rotations({**view, "class": batch["label"]})

  def loss(
    self,
    outputs: Outputs,
    batch: Batch,
    task_state: TaskState,
    rng: jax.Array,
  ) -> tuple[jax.Array, Metrics]:
    """Adds the label loss of labelled rows to the rotation loss of all."""
    del task_state, rng
    logits = outputs["logits"]
    rotation = score_classes(logits[:, :NUM_ROTATIONS], batch["label"])
    # Each copy of the batch has an even number of rows: every other is
    # labelled, throughout.
    label = score_classes(logits[1::2, NUM_ROTATIONS:], batch["class"][1::2])
    rotation, label = jax.tree.map(jnp.mean, (rotation, label))
    loss = label["loss"] + self.rotation_weight * rotation["loss"]
    return loss, {
      "loss": loss,
      "accuracy": label["accuracy"],
      "label_loss": label["loss"],
      "rotation_loss": rotation["loss"],
      "rotation_accuracy": rotation["accuracy"],
    }

  def scores(
    self, outputs: Outputs, batch: Batch, task_state: TaskState
  ) -> Metrics:
    """Scores the labels of upright images."""
    del task_state
    return score_classes(outputs["logits"][:, NUM_ROTATIONS:], batch["label"])
