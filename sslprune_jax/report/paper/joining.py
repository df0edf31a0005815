"""Which runs of a figure are of one study, so that their seeds are joined.

Compared by what guards a workdir: configuration, plug-ins, images, numerics.
Commits and machines are shown, not compared.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report import records

_NUMERICS = ("numerics", "accepted_numerics")
_COMPARED = ("config", "plugins", "start", "images", "targets", *_NUMERICS)


def variants_of(path: epath.PathLike) -> list[str]:
  """Returns the variants of a workdir; none if it is of a plain study."""
  file = epath.Path(path) / workdir.CONFIG
  if not file.exists():
    return []
  return list(records.read_config(file)["config"].get("variants", {}))


def figures_of(path: epath.Path) -> list[epath.Path]:
  """Returns the workdirs of the figures that a workdir has; itself if none."""
  if not path.is_dir() or (path / workdir.CONFIG).exists():
    return [path]
  return [one for one in sorted(path.iterdir()) if variants_of(one)] or [path]


def choose(paths: Sequence[epath.Path]) -> tuple[list[epath.Path], list[str]]:
  """Chooses the runs that are of the same study as the first.

  Args:
    paths: workdirs of one figure on one data set.

  Returns:
    Those that are joined, in order, and sentences on the others.

  Raises:
    ResultsError: a config.json is damaged, in one line.
  """
  joined, left_out = [], []
  first: dict[str, dict[str, Any]] = {}
  for path in paths:
    found = {
      variant: records.read_config(path / variant / workdir.CONFIG)
      for variant in variants_of(path)
      if (path / variant / workdir.CONFIG).exists()
    }
    words = [
      f"{variant}: {line}"
      for variant in found
      if variant in first
      for line in _conflicts(first[variant], found[variant])
    ]
    if words:
      left_out.append(f"{path}: of another study than {joined[0]}: {words[0]}")
      continue
    joined.append(path)
    first = found | first
  return joined, left_out


def _conflicts(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
  if all(first.get(name) == other.get(name) for name in _COMPARED):
    return []  # Most are, and need no more of the package than a report does.
  from sslprune_jax.study import identity

  numerics = [
    {name: about.get(name) for name in _NUMERICS} for about in (first, other)
  ]
  return [
    *identity.differences(*numerics, field=""),
    *identity.conflicts(first, other),
  ]
