"""Plug-ins: modules of a user's that registered what a configuration names."""

import hashlib
import importlib
import importlib.util
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.config.protocols import PROTOCOLS
from sslprune_jax.config.registry import Registry
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.runtime.errors import ConfigError

_OURS = __name__.partition(".")[0]


def load(modules: Sequence[str]) -> None:
  """Imports modules that register rows: `--plugins`.

  Raises:
    ConfigError: there is no such module.
  """
  for module in modules:
    try:
      importlib.import_module(module)
    except (ModuleNotFoundError, TypeError) as error:  # Of a name like `.x`.
      raise ConfigError(
        f"--plugins={module}: {error}; expected a module that can be imported "
        "from here"
      ) from None


def list_used(config: ConfigDict) -> dict[str, dict[str, str]]:
  """Lists what a configuration takes from outside of this package.

  Args:
    config: the configuration, without variants.

  Returns:
    "task simclr" -> its `target` and the SHA-256 of the module's source.
  """
  found = {}
  for registry, name in _list_names(config):
    row = registry.get(name)
    if row is None:
      continue  # Refused by name when the configuration is validated.
    module = row.target.partition(":")[0]
    if module.partition(".")[0] != _OURS:
      found[f"{registry.what} {name}"] = {
        "target": row.target,
        "sha256": _digest(module),
      }
  return found


def check(made_with: Mapping[str, Any], registry: Registry, where: str) -> None:
  """Refuses what was made with plug-ins that are not there; imports none.

  Args:
    made_with: `list_used` of the configuration that made it.
    registry: what of them is needed: networks, tasks or protocols.
    where: name of the file, for the error.

  Raises:
    ConfigError: names the plug-in, and the flag that imports it.
  """
  for what, row in made_with.items():
    kind, _, name = what.partition(" ")
    if kind == registry.what and name not in registry:
      module = row["target"].partition(":")[0]
      raise ConfigError(
        f"{where}: {kind} {name!r} comes from {module}: pass --plugins={module}"
      )


def _list_names(config: ConfigDict) -> Iterator[tuple[Registry, str]]:
  yield NETWORKS, config.model.name
  for task in config.tasks:
    yield TASKS, task
  for text in config.transfer.protocols:
    yield PROTOCOLS, text.partition(":")[0]


def _digest(module: str) -> str:
  try:
    spec = importlib.util.find_spec(module)
  except (ModuleNotFoundError, ValueError):  # Of what is no file: __main__.
    spec = None
  if spec is None or not spec.origin:
    raise ConfigError(
      f"plug-in {module}: found no file of a module of this name, expected one"
    )
  return hashlib.sha256(pathlib.Path(spec.origin).read_bytes()).hexdigest()
