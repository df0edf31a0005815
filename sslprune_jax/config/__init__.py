"""What is run: fields and their defaults, data sets, recipes. No JAX."""

from sslprune_jax.config.fields import INITS as INITS
from sslprune_jax.config.fields import PROTOCOLS as PROTOCOLS
from sslprune_jax.config.fields import SVM_COSTS as SVM_COSTS
from sslprune_jax.config.fields import TARGETS as TARGETS
from sslprune_jax.config.fields import base as base
from sslprune_jax.config.fields import dataset as dataset
from sslprune_jax.config.fields import lookup as lookup
from sslprune_jax.config.fields import network_name as network_name
from sslprune_jax.config.fields import recipe as recipe
from sslprune_jax.config.fields import resolved as resolved
from sslprune_jax.config.fields import updates as updates
from sslprune_jax.runtime.errors import ConfigError as ConfigError
