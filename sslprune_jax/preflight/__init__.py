"""Preflight: what a study costs on a TPU, before one is rented."""

from sslprune_jax.preflight.chips import TopologyError as TopologyError
from sslprune_jax.preflight.costs import cost as cost
