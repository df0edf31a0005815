"""What `import sslprune_jax` offers."""

import ast
import doctest
import importlib.metadata
import pathlib

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


def test_a_plain_network_is_pruned_and_trained_as_the_docstring_says():
  found = doctest.testmod(sslprune_jax)
  assert found.failed == 0 and found.attempted > 20


def test_the_program_that_mypy_reads_uses_every_public_name():
  # What it says of their types is checked in CI: `mypy tests/typed_face.py`.
  tree = ast.parse(
    (pathlib.Path(__file__).parent / "typed_face.py").read_text()
  )
  names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
  names |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
  assert names >= set(sslprune_jax.__all__)
