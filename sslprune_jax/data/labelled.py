"""Sets of which some images have a label, and others none."""

import numpy as np

from sslprune_jax.data.sources import Source
from sslprune_jax.data.subsets import subset

_LOOKED_AT = 64


def is_partly_labelled(source: Source) -> bool:
  """Returns whether some images have a class and others, labelled -1, none.

  Where all labels take a pass over all files, as of a set that TFDS prepared, a
  few images tell, spread evenly: what is unlabelled is a split of its own.

  Args:
    source: images of any kind.
  """
  if not source.num_classes or source.multi_label:
    return False
  if not getattr(source, "lists_labels", True):
    places = np.linspace(0, len(source) - 1, _LOOKED_AT).astype(np.int64)
    if (source.read(np.unique(places))["label"] >= 0).all():
      return False
  return bool((source.labels < 0).any())


def labelled_part(source: Source) -> Source:
  """Returns the images of a source that have a label, if some have none."""
  if not is_partly_labelled(source):
    return source
  return subset(source, np.flatnonzero(source.labels >= 0))
