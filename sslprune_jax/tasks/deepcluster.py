"""DeepCluster: into which cluster of the network's own features does it fall?

Reference: Caron et al. 2018, arXiv 1807.05520.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data
from sslprune_jax.config.tasks import default
from sslprune_jax.features import clustering
from sslprune_jax.runtime import devices
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

_HEAD_STD = 0.01
_CLUSTERS, _HEAD = range(2)  # folded into an epoch's key: its streams


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeepCluster(Task):
  """Predicts the cluster that an image was put into as its epoch began.

  Every epoch clusters the features of the network as it is, masked and in
  evaluation mode: PCA with whitening, rows of unit length, k-means. The head is
  then drawn anew, as clusters of two epochs have nothing to do with each other,
  and images are read so that every cluster is seen as often.

  A new image belongs to no cluster: what is scored is the training set.

  Attributes:
    components: directions of the PCA.
    iterations: iterations of k-means.
    start: start of k-means: "random" points or "k-means++".
    distances: dtype in which k-means compares, "float32" or "bfloat16".
  """

  components: int = default("deepcluster", "components")
  iterations: int = default("deepcluster", "iterations")
  start: str = default("deepcluster", "start")
  distances: str = default("deepcluster", "distances")
  by_epoch: ClassVar[bool] = True
  scored_on: ClassVar[str] = "train"

  @classmethod
  def make(cls, settings, source, label_outputs, views):
    """Makes the task; the head has an output a cluster."""
    del source, label_outputs
    settings = dict(settings)
    return cls(num_outputs=settings.pop("clusters"), **settings, **views)

  def check(self, source: data.Source, num_features: int) -> None:
    """Refuses more clusters than images, and a PCA wider than its input."""
    size = len(source)
    if self.num_outputs > size:
      raise ValueError(
        f"deepcluster.clusters: found {self.num_outputs}, expected at most the "
        f"{size} training images"
      )
    if self.components > min(num_features, size):
      raise ValueError(
        f"deepcluster.components: found {self.components}, expected at most "
        f"the {num_features} features of the network and the {size} training "
        "images"
      )

  def init(self, rng: jax.Array, source: data.Source) -> TaskState:
    """Puts no image into a cluster: update 0 begins an epoch."""
    del rng
    return TaskState(
      {
        "assignment": jnp.full(len(source), -1, jnp.int32),
        "centroids": jnp.zeros((self.num_outputs, self.components)),
      }
    )

  def begin_epoch(
    self,
    task_state: TaskState,
    head: Tree,
    rng: jax.Array,
    source: data.Source,
    extract: Callable[[], tuple[jax.Array, np.ndarray]],
  ) -> tuple[TaskState, Tree, dict[str, float]]:
    """Clusters the features, and draws the head anew."""
    features, image = extract()
    weight = jax.device_put(
      (image < len(source)).astype(np.float32), devices.split()
    )
    projection = clustering.fit_pca(features, weight, self.components)
    points = clustering.project(features, projection)
    del features  # As large as all that follows.
    found = clustering.kmeans(
      points,
      weight,
      self.num_outputs,
      jax.random.fold_in(rng, _CLUSTERS),
      iterations=self.iterations,
      start=self.start,
      dtype=jnp.dtype(self.distances),
    )
    real = image < len(source)
    assignment = np.empty(len(source), np.int32)
    assignment[image[real]] = devices.on_host(found.assignment)[real]
    before = np.asarray(task_state.shared["assignment"])
    kernel = _HEAD_STD * jax.random.normal(
      jax.random.fold_in(rng, _HEAD), head["kernel"].shape
    )
    head = {"kernel": kernel, "bias": jnp.zeros_like(head["bias"])}
    shared = {
      "assignment": jnp.asarray(assignment),
      "centroids": found.centroids,
    }
    inertia = float(found.inertia[-1])
    return (
      TaskState(shared),
      head,
      {
        "inertia": inertia / len(source),
        **statistics(assignment, self.num_outputs, before, source.labels),
      },
    )

  def order(
    self, seed: int, epoch: int, source: data.Source, shared: Tree
  ) -> np.ndarray:
    """Reads every cluster that is not empty as often."""
    del source
    return balanced_order(shared["assignment"], seed, epoch)

  def scores(
    self, outputs: Outputs, batch: Batch, task_state: TaskState
  ) -> Metrics:
    """Scores each row by the cluster of its image."""
    cluster = jnp.take(
      task_state.shared["assignment"], batch["index"], mode="clip"
    )
    return score_classes(outputs["logits"], cluster)


def balanced_order(assignment: np.ndarray, seed: int, epoch: int) -> np.ndarray:
  """Returns an order in which every cluster that is not empty is as frequent.

  A cluster larger than its share gives different images, a smaller one all of
  its images and then some of them again.

  Args:
    assignment: i32[N].
    seed: 0 or more.
    epoch: 0 or more.

  Returns:
    i32[N].
  """
  chex.assert_rank(assignment, 1, custom_message="assignment")
  size = len(assignment)
  mixed = np.argsort(rng_lib.raw(seed, "members", epoch, size), kind="stable")
  members = mixed[np.argsort(assignment[mixed], kind="stable")]
  _, first, count = np.unique(
    assignment[members], return_index=True, return_counts=True
  )
  share = -(-size // len(count))
  place = np.tile(np.arange(share), (len(count), 1))
  again = rng_lib.raw(seed, "again", epoch, place.size).reshape(place.shape)
  repeated = (again % count[:, None].astype(np.uint64)).astype(np.int64)
  place = np.where(place < count[:, None], place, repeated)
  drawn = members[first[:, None] + place].ravel()
  order = np.argsort(rng_lib.raw(seed, "order", epoch, drawn.size))
  return drawn[order][:size].astype(np.int32)


def statistics(
  assignment: np.ndarray, k: int, before: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
  """Describes a clustering.

  Args:
    assignment: i32[N].
    k: clusters.
    before: i32[N] of the epoch before; -1 if there was none.
    labels: i32[N]; -1 where unlabelled.

  Returns:
    `entropy` of the cluster sizes over that of equal ones (0 to 1), `empty`
    clusters, and the normalised mutual information with what there is of the
    epoch before and of the labels.
  """
  of_images = [assignment, before, labels]
  chex.assert_rank(of_images, 1, custom_message="assignment, before, labels")
  chex.assert_equal_shape(of_images)
  # Takes a second, for this task alone.
  from sklearn.metrics import normalized_mutual_info_score

  sizes = np.bincount(assignment, minlength=k)
  shares = sizes[sizes > 0] / len(assignment)
  entropy = -float(np.sum(shares * np.log(shares)))
  found = {
    "entropy": entropy / np.log(k) if k > 1 else 1.0,
    "empty": int(np.sum(sizes == 0)),
  }
  others = {"nmi_before": before, "nmi_labels": labels}
  for name, other in others.items():
    known = other >= 0
    if known.any():
      found[name] = float(
        normalized_mutual_info_score(other[known], assignment[known])
      )
  return found
