"""The features of a target's images, extracted once, kept on the devices."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from sslprune_jax import data
from sslprune_jax.data import batches
from sslprune_jax.features import extraction
from sslprune_jax.runtime import devices, processes
from sslprune_jax.runtime.trees import Tree


@dataclasses.dataclass(frozen=True)
class Features:
  """Features of N images, and which image each row is of.

  Attributes:
    rows: f32[D,R,F], split over the devices.
    place: i64[N], of each image among the D * R rows.
    labels: i32[N], or i32[N,K] where an image may show several classes.
  """

  rows: jax.Array
  place: np.ndarray
  labels: np.ndarray

  def by_row(self) -> np.ndarray:
    """Returns the label of each row, i32[D,R], -1 on padding."""
    labels = np.full(self.rows.shape[0] * self.rows.shape[1], -1, np.int32)
    labels[self.place] = self.labels
    return labels.reshape(self.rows.shape[:2])

  def on_host(self) -> np.ndarray:
    """Returns f32[N,F], in the order of the images."""
    rows = devices.on_host(self.rows)
    return rows.reshape(-1, rows.shape[-1])[self.place]


def extract(
  step: Callable,
  variables: dict[str, Tree],
  source: data.Source,
  batch_size: int,
  on_images: Callable[[int], None] = lambda images: None,
) -> Features:
  """Extracts the features of all images of a source, in one pass over it.

  Args:
    step: from `extraction.make_step`.
    variables: `{"params", "batch_stats"}`, replicated.
    source: of N images.
    batch_size: a multiple of the devices.
    on_images: called with how many images each batch brings.
  """
  labels = []

  def keep(batch):
    # Read later, so that the devices do not wait.
    labels.append(batch["label"])
    on_images(min(batch_size, len(source) - (len(labels) - 1) * batch_size))

  feed = batches.make(source, batch_size, devices.split())
  rows, image = extraction.extract(
    step, variables, feed, jax.device_count(), keep
  )
  place = np.argsort(image.ravel(), kind="stable")[: len(source)]
  labels = np.stack([np.asarray(of) for of in labels])
  # Of this process' devices, next to those of the others.
  labels = np.concatenate(processes.from_all(labels), axis=1)
  labels = labels.reshape(-1, *labels.shape[3:])
  return Features(rows, place, labels[: len(source)])
