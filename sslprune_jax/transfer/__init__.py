"""Transfer: what trained networks are worth on other data."""

from sslprune_jax.transfer.transfers import Transfers as Transfers
