"""Data: sources, device augmentation, batches."""

from sslprune_jax.data.augment import Augment, normalise
from sslprune_jax.data.batches import Batches, ResidentBatches, StreamedBatches
from sslprune_jax.data.labelled import is_partly_labelled, labelled_part
from sslprune_jax.data.load import load
from sslprune_jax.data.sources import (
  ArraySource,
  DataError,
  Images,
  Source,
  Spec,
)
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
  "Spec",
  "StreamedBatches",
  "in_memory",
  "is_partly_labelled",
  "labelled_part",
  "load",
  "normalise",
  "sample_classes",
  "sample_per_class",
  "subset",
  "hide_labels_except",
]
