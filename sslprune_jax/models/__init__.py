"""Networks: images to named stages, features and logits."""

from sslprune_jax.models.counting import layer_order as layer_order
from sslprune_jax.models.counting import uses as uses
from sslprune_jax.models.grids import pooling as pooling
from sslprune_jax.models.grids import read_grid as read_grid
from sslprune_jax.models.grids import readout as readout
from sslprune_jax.models.network import Network as Network
from sslprune_jax.models.network import build as build
from sslprune_jax.models.network import endpoints as endpoints
from sslprune_jax.models.network import from_config as from_config
from sslprune_jax.models.network import num_features as num_features
from sslprune_jax.models.network import variants as variants
from sslprune_jax.models.network import with_head as with_head
from sslprune_jax.models.network import without_head as without_head
