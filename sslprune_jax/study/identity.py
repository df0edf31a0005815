"""Which fields make a study another one, and which let it grow."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config import every_field, from_json
from sslprune_jax.config.protocols import PROTOCOLS
from sslprune_jax.config.values import to_json

Flat = dict[str, Any]  # values by dotted names


def differences(
  old: Any,
  new: Any,
  field: str = "config",
  sides: tuple[str, str] = ("there", "now"),
) -> list[str]:
  """Lists the fields in which two values of JSON differ.

  Args:
    old: value of the run on disk.
    new: value of this run.
    field: name of the value that is compared.
    sides: names of the old one and of the new one.

  Returns:
    Lines such as `config.prune.rate: 0.2 there, 0.5 now`.
  """
  if isinstance(old, dict) and isinstance(new, dict):
    return [
      line
      for key in sorted(old.keys() | new.keys())
      for line in differences(
        old.get(key), new.get(key), f"{field}.{key}".lstrip("."), sides
      )
    ]
  if old == new:
    return []
  return [f"{field}: {old!r} {sides[0]}, {new!r} {sides[1]}"]


def complete(values: dict[str, Any]) -> dict[str, Any]:
  """Returns a configuration on disk with the fields that came after it.

  Args:
    values: resolved configuration, as config.json has it.

  Returns:
    The same with every field that it lacks at the value that reproduces what
    ran then: `Field.before` or, if there is none, the default.
  """
  found = _flatten(values)
  for name, field in every_field().items():
    if name not in found and name != "profile":
      new = field.default if field.before is None else field.before
      found[name] = to_json(new)
  return _nest(found)


def part(values: dict[str, Any], known: Collection[str] = ()) -> dict[str, Any]:
  """Returns what is part of a study's identity of a resolved configuration.

  Args:
    values: resolved configuration.
    known: names of folders whose images are compared, wherever they lie.
  """
  rows = every_field()
  found = {}
  for name, value in _flatten(values).items():
    row = rows.get(_own_name(name))
    if _own_name(name) in known:
      continue
    if row is None or (row.changes_bits and not row.grows):
      found[name] = value
  return _nest(found)


def conflicts(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """Lists in what two runs are of different studies, but for their numerics.

  So a workdir is guarded, and so runs of a figure are joined.

  Args:
    there: values of config.json on disk.
    now: those of the run that is held against it.

  Returns:
    Lines as of `differences`; none where both are parts of one study.
  """
  known = _folders(there) & _folders(now)
  return [
    *differences(
      part(complete(there["config"]), known),
      part(complete(now["config"]), known),
    ),
    *differences(*_plugins(there, now), "plugins"),
    *differences(
      there.get("start", ""), now.get("start", ""), "SHA-256 of config.start"
    ),
    # The first version said nothing of them.
    *differences(
      there.get("images", now.get("images", {})),
      now.get("images", there.get("images", {})),
      "images of data_dir",
    ),
    *(
      line
      for name, images in there.get("targets", {}).items()
      if name in now.get("targets", {})
      for line in differences(
        images, now["targets"][name], f"images of transfer.targets.{name}"
      )
    ),
  ]


def _folders(run: Mapping[str, Any]) -> set[str]:
  """Names the fields of the folders whose images a run has described."""
  found = {
    f"transfer.targets.{name}.data_dir" for name in run.get("targets", ())
  }
  return found | ({"dataset.data_dir"} if run.get("images") else set())


def _plugins(
  there: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Returns the plug-ins of both, but for protocols that one of them lacks.

  Those may be added, as all protocols may.
  """
  both = there.get("plugins", {}), now.get("plugins", {})
  shared = both[0].keys() & both[1].keys()
  first, second = (
    {
      name: row
      for name, row in rows.items()
      if name in shared or not name.startswith(f"{PROTOCOLS.what} ")
    }
    for rows in both
  )
  return first, second


def union(old: dict[str, Any], new: dict[str, Any]) -> Flat:
  """Returns what a study has been asked for by two runs, of fields that grow.

  Args:
    old: resolved configuration of earlier runs.
    new: configuration of this run.

  Returns:
    Values by dotted names: of numbers the larger, of lists what stands in
    either, those of the earlier runs first; rounds are sorted.
  """
  rows, there = every_field(), _flatten(old)
  grows = {name for name, row in rows.items() if row.grows}
  return {
    name: _join(name, there.get(name), value)
    for name, value in _flatten(new).items()
    if _own_name(name) in grows
  }


def place(values: dict[str, Any], grown: Flat) -> dict[str, Any]:
  """Returns a resolved configuration with some values by dotted names."""
  return _nest(_flatten(values) | grown)


def with_values(config: ConfigDict, grown: Flat) -> ConfigDict:
  """Returns a configuration with some values by dotted names."""
  config = config.copy_and_resolve_references()
  for name, value in grown.items():
    *parents, last = name.split(".")
    section = config
    for parent in parents:
      section = section[parent]
    section[last] = from_json(value)
  return config


def _join(name: str, old: Any, new: Any) -> Any:
  if old is None:
    return new
  if not isinstance(new, list):
    return max(old, new)
  both = list(dict.fromkeys([*old, *new]))
  return sorted(both) if name.endswith("rounds") else both


def _own_name(name: str) -> str:
  """Returns the name of a field; that of a variant is the study's own."""
  return name.split(".", 2)[-1] if name.startswith("variants.") else name


def _flatten(values: dict[str, Any], prefix: str = "") -> Flat:
  found = {}
  for name, value in values.items():
    if isinstance(value, dict) and value:
      found |= _flatten(value, f"{prefix}{name}.")
    else:
      found[prefix + name] = value
  return found


def _nest(values: Flat) -> dict[str, Any]:
  found: dict[str, Any] = {}
  for name, value in values.items():
    *parents, last = name.split(".")
    section = found
    for parent in parents:
      section = section.setdefault(parent, {})
    section[last] = value
  return found
