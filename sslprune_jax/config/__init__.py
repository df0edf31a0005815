"""What is run: fields and their defaults, data sets, recipes. No JAX."""

from sslprune_jax.config.base import base as base
from sslprune_jax.config.base import every_field as every_field
from sslprune_jax.config.base import recipe as recipe
from sslprune_jax.config.datasets import dataset as dataset
from sslprune_jax.config.fields import INITS as INITS
from sslprune_jax.config.fields import TARGETS as TARGETS
from sslprune_jax.config.protocols import PROTOCOLS as PROTOCOLS
from sslprune_jax.config.rules import Field as Field
from sslprune_jax.config.transfers import SVM_COSTS as SVM_COSTS
from sslprune_jax.config.values import from_json as from_json
from sslprune_jax.config.values import lookup as lookup
from sslprune_jax.config.values import network_name as network_name
from sslprune_jax.config.values import resolve as resolve
from sslprune_jax.config.values import updates as updates
from sslprune_jax.runtime.errors import ConfigError as ConfigError
