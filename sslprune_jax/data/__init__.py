"""Data: sources, device augmentation, batches."""

from sslprune_jax.data.augment import Augment, normalise
from sslprune_jax.data.batches import Batches, ResidentBatches, StreamedBatches
from sslprune_jax.data.load import load, load_dataset
from sslprune_jax.data.sources import ArraySource, DataError, Images, Source
from sslprune_jax.data.subsets import (
  hide_labels_except,
  in_memory,
  sample_classes,
  sample_per_class,
  subset,
)

__all__ = [
  "ArraySource",
  "Augment",
  "Batches",
  "DataError",
  "Images",
  "ResidentBatches",
  "Source",
  "StreamedBatches",
  "in_memory",
  "load",
  "load_dataset",
  "normalise",
  "sample_classes",
  "sample_per_class",
  "subset",
  "hide_labels_except",
]
