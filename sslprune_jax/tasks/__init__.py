"""The pretext and supervised tasks, one file each behind one protocol."""

from sslprune_jax.tasks.base import Task as Task
from sslprune_jax.tasks.labels import Labels as Labels
from sslprune_jax.tasks.rotnet import RotNet as RotNet
