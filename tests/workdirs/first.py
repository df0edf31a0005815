"""The study of `first/`, as its own `config.json` has it.

So that presets may change: a field that is not in that file, as it came later,
has its default.
"""

import json
import pathlib

from sslprune_jax.config import base

_MADE = pathlib.Path(__file__).parent / "first/config.json"


def get_config():
  """Returns the configuration."""
  config = base()
  config.update(_tuples(json.loads(_MADE.read_text())["config"]))
  return config


def _tuples(value):
  """Returns JSON values as a configuration holds them, lists as tuples."""
  if isinstance(value, dict):
    return {name: _tuples(item) for name, item in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value
