"""Distil: the features that the dense network gives, without labels.

The teacher is the network that the study starts from, frozen, in evaluation
mode; the pruned network sees the same view as it does.
"""

import dataclasses
import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from sslprune_jax import models
from sslprune_jax.config.tasks import check, default
from sslprune_jax.features import moments
from sslprune_jax.features.neighbours import unit
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks.base import Task, TaskState

_BATCH = 64  # images of each device whose features are measured at a time


# By identity: two teachers are two tasks.
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Distil(Task):
  """Learns features; it has no head.

  Attributes:
    network: network of the teacher and of the student, without a head.
    teacher: variables of the teacher, f32.
    layers: endpoints that are learnt.
  """

  num_outputs: int = 1  # Of the linear head that `head` takes the place of.
  network: models.Network
  teacher: dict[str, Tree]
  layers: tuple[str, ...] = default("distil", "layers")

  def __post_init__(self):
    check("distil", self)

  @classmethod
  def make(cls, settings, source, label_outputs, views):
    """Makes the task; see `Task.make`."""
    del source, label_outputs
    return cls(**settings, **views)

  @property
  def chance(self) -> float:
    """Returns 0: nothing is guessed."""
    return 0.0

  def head(self, num_features: int) -> nn.Module:
    """Returns a head without params, which passes features on."""
    del num_features
    return self.network.head

  def check(self, source, num_features):
    """Refuses layers that the network does not have."""
    del num_features
    known = models.endpoints(self.network, source.image_shape).keys()
    known -= {"logits", "preactivation"}
    lost = [layer for layer in self.layers if layer not in known]
    if lost:
      raise ValueError(
        f"distil.layers: found {lost[0]!r}, expected some of {sorted(known)}"
      )

  def init(self, rng, source):
    """Returns the teacher, and moments that `prepare` is to measure."""
    del rng
    shapes = models.endpoints(self.network, source.image_shape)
    found = {}
    for layer in self.layers:
      channels = jnp.zeros(shapes[layer][-1])
      found[layer] = {"mean": channels, "scale": channels}
    return TaskState(shared=found, fixed=self.teacher)

  def prepare(self, task_state, source):
    """Measures the teacher's features on the training images."""
    return task_state.replace(shared=self._scales(source))

  # Once for all rounds: they are trained on the same images.
  @functools.lru_cache(maxsize=4)  # noqa: B019
  def _scales(self, source) -> Tree:
    """Returns mean f32[C] and one over the deviation f32[C], by layer."""
    step = moments.make_step(self.network, self.normalise, self.layers)
    found = moments.measure(
      step,
      devices.replicate(self.teacher),
      source,
      _BATCH * jax.device_count(),
    )
    return {
      layer: {"mean": mean, "scale": moments.inverse(deviation)}
      for layer, (mean, deviation) in found.items()
    }

  def scores(self, outputs, batch, task_state):
    """Returns `cosine` f32[B] to the teacher's features, and `loss`, 1 - it."""
    taught = self.network.apply(task_state.fixed, batch["image"], train=False)
    found = [
      cosine(outputs[layer], taught[layer], **task_state.shared[layer])
      for layer in self.layers
    ]
    mean = sum(found) / len(found)
    return {"loss": 1 - mean, "cosine": mean}


def cosine(
  student: jax.Array, teacher: jax.Array, mean: jax.Array, scale: jax.Array
) -> jax.Array:
  """Compares standardised features, at every place of a grid.

  Args:
    student: f32[B,...,C], the features to judge.
    teacher: f32[B,...,C], those that are to be learnt.
    mean: f32[C], of the teacher over the training images.
    scale: f32[C], one over its deviation.

  Returns:
    f32[B], the mean over places of the cosine over channels.
  """
  chex.assert_equal_shape([student, teacher], custom_message="student, teacher")
  chex.assert_equal_shape([mean, scale], custom_message="mean, scale")

  def standardise(x):
    rows = (x.astype(jnp.float32).reshape(-1, len(mean)) - mean[None]) * scale[
      None
    ]
    return unit(rows)

  similar = jnp.sum(standardise(student) * standardise(teacher), axis=1)
  return similar.reshape(len(student), -1).mean(axis=1)
