"""Labels: cross-entropy on the labels, the paper's supervised task."""

import dataclasses

from sslprune_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Labels(Task):
  """Which class is the image of?"""
