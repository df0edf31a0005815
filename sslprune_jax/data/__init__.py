"""Data: sources, device augmentation, batches."""

from sslprune_jax.data.augment import Augment, normalise
from sslprune_jax.data.batches import Batches, ResidentBatches, StreamedBatches
from sslprune_jax.data.load import load, load_dataset
from sslprune_jax.data.sources import ArraySource, DataError, Images, Source
from sslprune_jax.data.subsets import (
  in_memory,
  of_some_classes,
  stratified,
  subset,
  unlabelled_but,
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
  "of_some_classes",
  "stratified",
  "subset",
  "unlabelled_but",
]
