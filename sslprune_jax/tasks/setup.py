"""Old names of `tasks.make` and `models.from_config`; on their way out."""

from sslprune_jax.data.augment import make_normalise as make_normalise
from sslprune_jax.models import from_config as make_network
from sslprune_jax.tasks import make as make_task

__all__ = ["make_network", "make_normalise", "make_task"]
