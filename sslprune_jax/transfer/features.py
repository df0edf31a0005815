"""The features of a target's images, extracted once, kept on the devices."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np

from sslprune_jax import data, extraction, parallel
from sslprune_jax.data import batches
from sslprune_jax.trees import Tree


@dataclasses.dataclass(frozen=True)
class Features:
  """Features, and which image each row is of.

  Attributes:
    rows: f32[D,R,F], split over the devices.
    place: i64[N], of each image among the D * R rows.
    source: of the N images.
  """

  rows: jax.Array
  place: np.ndarray
  source: data.Source

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """The label of each row i32[D,R], -1 on padding."""
    labels = np.full(self.rows.shape[0] * self.rows.shape[1], -1, np.int32)
    labels[self.place] = self.source.labels
    return labels.reshape(self.rows.shape[:2])

  def on_host(self) -> np.ndarray:
    """Returns f32[N,F], in the order of the images."""
    rows = np.asarray(self.rows)
    return rows.reshape(-1, rows.shape[-1])[self.place]


def extract(
  step: Callable,
  variables: dict[str, Tree],
  source: data.Source,
  batch_size: int,
) -> Features:
  """Extracts the features of all images of a source.

  Args:
    step: from `extraction.make_step`.
    variables: `{"params", "batch_stats"}`, replicated.
    source: of N images.
    batch_size: a multiple of the devices.
  """
  feed = batches.make(source, batch_size, parallel.split())
  rows, image = extraction.extract(step, variables, feed, jax.device_count())
  place = np.argsort(image.ravel(), kind="stable")[: len(source)]
  return Features(rows, place, source)
