"""Settings that all tests share."""

import os

# Before jax starts its backend: one CPU device, whatever the machine has.
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402

# A shape that is broadcast by accident is an error.
jax.config.update("jax_numpy_rank_promotion", "raise")
