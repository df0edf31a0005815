"""What `import sslprune_jax` offers."""

import doctest
import importlib.metadata
import subprocess
import sys

import pytest

import sslprune_jax


@pytest.mark.parametrize("name", sslprune_jax.__all__)
def test_every_public_name_is_there_and_documented(name):
  found = getattr(sslprune_jax, name)
  assert found.__doc__
  assert name in dir(sslprune_jax)


def test_the_version_is_that_of_the_package():
  assert sslprune_jax.__version__ == importlib.metadata.version("sslprune-jax")


def test_another_name_is_refused():
  with pytest.raises(AttributeError, match="no attribute 'prume'"):
    _ = sslprune_jax.prume


def test_importing_the_package_loads_no_jax():
  script = (
    "import sys, sslprune_jax, sslprune_jax.config, sslprune_jax.workdir\n"
    "from sslprune_jax import recipes, report, write_report\n"
    "slow = ('jax', 'flax', 'scipy', 'sklearn', 'matplotlib')\n"
    "sys.exit(str([n for n in slow if n in sys.modules] or ''))"
  )
  run = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True
  )
  assert run.stderr.strip() == "", run.stderr


def test_a_plain_network_is_pruned_and_trained_as_the_docstring_says():
  found = doctest.testmod(sslprune_jax)
  assert found.failed == 0 and found.attempted > 20
