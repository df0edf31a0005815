"""Settings that all tests share."""

import atexit
import os
import shutil
import tempfile

# One cache, which workers and subprocesses inherit: studies that are killed and
# resumed compile the same programs again.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
  _cache = tempfile.mkdtemp(prefix="sslprune_jax_tests_")
  atexit.register(shutil.rmtree, _cache, ignore_errors=True)
  os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
# Most of a compilation is LLVM's optimisation, of programs that then run for
# milliseconds. CI runs those that hold numbers with it too.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ["JAX_PLATFORMS"] = "cpu"

import chex  # noqa: E402
import jax  # noqa: E402

# Before JAX starts its backend: one CPU device, whatever the machine has and
# XLA_FLAGS say. Tests of several start processes with flags of their own.
chex.set_n_cpu_devices(1)
# A shape that is broadcast by accident is an error.
jax.config.update("jax_numpy_rank_promotion", "raise")
