"""Registries: what a name in the configuration stands for, and where it lies.

A row says where the code lies as text, "module:name", so that a configuration
loads none of it. A package of a user's registers rows of its own in the module
that a configuration file, which is Python, imports above `base()`; a file on
disk never causes an import.
"""

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from sslprune_jax.runtime.errors import ConfigError


class Named(Protocol):
  """A row of a registry.

  Attributes:
    name: name in the configuration, and in the workdir.
    target: "module:name" of its code.
  """

  name: str
  target: str


@dataclasses.dataclass(frozen=True)
class Row:
  """A row that says no more than where the code is; see `Named`."""

  name: str
  target: str


Kind = TypeVar("Kind", bound=Named)


class Registry(Mapping[str, Kind], Generic[Kind]):
  """Rows by name, in the order in which they were registered.

  Args:
    what: what a row is, for errors: "task", "network", ...
    rows: the rows that this package brings.
  """

  def __init__(self, what: str, rows: tuple[Kind, ...]):
    self.what = what
    self._rows: dict[str, Kind] = {}
    for row in rows:
      self.register(row)

  def register(self, row: Kind) -> Kind:
    """Adds a row.

    Raises:
      ConfigError: another row has its name, which names files and sections, or
        its target has another form.
    """
    if not row.name.isidentifier():
      raise ConfigError(
        f"{self.what}: found {row.name!r}, expected an identifier"
      )
    module, _, name = row.target.partition(":")
    if not (module and name.isidentifier()):
      raise ConfigError(
        f"{self.what} {row.name!r}: found the target {row.target!r}, expected "
        "'module:name'"
      )
    there = self._rows.setdefault(row.name, row)
    if there.target != row.target:
      raise ConfigError(
        f"{self.what} {row.name!r}: found {row.target} under this name, which "
        f"{there.target} has: expected another name"
      )
    self._rows[row.name] = row
    return row

  def __getitem__(self, name: str) -> Kind:
    return self._rows[name]

  def __iter__(self) -> Iterator[str]:
    return iter(self._rows)

  def __len__(self) -> int:
    return len(self._rows)

  def load(self, name: str) -> Any:
    """Imports what a name stands for.

    Raises:
      ConfigError: nothing is registered by this name, or there is no such
        module or attribute.
    """
    if name not in self._rows:
      raise ConfigError(
        f"{self.what}: found {name!r}, expected one of {tuple(self._rows)}"
      )
    target = self._rows[name].target
    module, _, attribute = target.partition(":")
    try:
      return getattr(importlib.import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
      raise ConfigError(
        f"{self.what} {name!r}: cannot load {target}: {error}"
      ) from error
