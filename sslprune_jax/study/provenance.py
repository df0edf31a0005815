"""What a run was made by, and what makes a study another one.

A workdir holds one study. It goes on with another number of processes, other
seeds or more rounds; not with another configuration, nor with numerics or
plug-ins that would end in other bits.
"""

import os
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import plugins
from sslprune_jax.config.protocols import PROTOCOLS
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.runtime import digests, environment, files, locks, processes
from sslprune_jax.runtime.errors import ConfigError, LostFileError
from sslprune_jax.study import identity, made_by, start
from sslprune_jax.training.step import NUMERICS


def agree(config: ConfigDict) -> None:
  """Refuses processes that would not run the same.

  Raises:
    ProcessError: names a field in which one differs from the first.
  """
  if processes.count() == 1:
    return
  agree_on(
    {
      "config": config_lib.resolve(config),
      "versions": made_by.versions(),
      "code": made_by.code(),
      "plugins": plugins.list_used(config),
      "start": start.digest(config),
      "device": jax.devices()[0].device_kind,
    }
  )


def agree_on(mine: Mapping[str, Any]) -> None:
  """Refuses processes that have not found the same.

  Args:
    mine: JSON values by what they are of.

  Raises:
    ProcessError: names a value in which one differs from the first.
  """
  if processes.count() == 1:
    return
  first, *others = processes.from_all(dict(mine))
  for number, other in enumerate(others, start=1):
    sides = "in process 0", f"in {number}"
    for line in identity.differences(first, other, "", sides):
      raise processes.ProcessError(
        f"{line}; expected the same in all processes"
      )


def record(
  config: ConfigDict,
  workdir: epath.Path,
  *,
  images: Mapping[str, Any] | None = None,
  targets: Mapping[str, Any] | None = None,
  accept_numerics: bool = False,
) -> ConfigDict:
  """Writes config.json, or holds this run against the one there.

  Args:
    config: the configuration.
    workdir: folder of the study.
    images: JSON values of `listings.describe`, of a study.
    targets: those of `listings.describe_targets`.
    accept_numerics: whether to go on with a study whose updates were rounded
      differently; config.json then says so.

  Returns:
    The configuration with all that the workdir has been asked for: its seeds,
    rounds and protocols, and those of earlier runs.

  Raises:
    ConfigError: the workdir holds another study.
  """
  seen = {"images": dict(images or {}), "targets": dict(targets or {})}
  grown = processes.from_first(
    lambda: _record(config, epath.Path(workdir), seen, accept_numerics)
  )
  return identity.with_values(config, grown)


def _record(
  config: ConfigDict,
  workdir: epath.Path,
  seen: dict[str, Any],
  accept_numerics: bool,
) -> dict[str, Any]:
  """Writes config.json; returns the fields that have grown, by name."""
  path = workdir / workdir_lib.CONFIG
  now = {
    "config": config_lib.resolve(config),
    "versions": made_by.versions(),
    "commit": made_by.commit(),
    "machine": made_by.machine(),
    # XLA's on CPU: how it sums depends on them.
    "threads": environment.threads(),
    "xla_flags": os.environ.get("XLA_FLAGS", ""),
    "numerics": NUMERICS,
    "code": made_by.code(),
    "plugins": plugins.list_used(config),
    "start": start.digest(config),
    **seen,
    # So that a report needs nothing else.
    "protocols": {
      name: {"label": PROTOCOLS[name].label}
      for name in (text.partition(":")[0] for text in config.transfer.protocols)
      if name in PROTOCOLS
    },
    "tasks": {
      name: {
        "label": TASKS[name].label,
        "problem": TASKS[name].problem,
        "colour": TASKS[name].colour,
      }
      for name in config.tasks
      if name in TASKS
    },
  }
  if not path.exists():
    files.write_json(path, digests.stamp(now))
    return {}
  there = read(path)
  plugins.check(there.get("plugins", {}), PROTOCOLS, str(path))
  _check_same(workdir, there, now)
  before = identity.complete(there["config"])
  accepted = _accept_numerics(there, workdir, accept_numerics)
  _warn(there, now)
  grown = identity.union(before, now["config"])
  kept = {**seen, **there, "config": identity.place(before, grown)}
  for name in ("protocols", "plugins", "targets"):
    if now[name]:
      kept[name] = there.get(name, {}) | now[name]
  if accepted:
    kept |= {"numerics": NUMERICS, "accepted_numerics": accepted}
  if kept != there:
    files.write_json(path, digests.stamp(kept))
  return grown


def _check_same(
  workdir: epath.Path, there: dict[str, Any], now: dict[str, Any]
) -> None:
  """Refuses what is another study."""
  if different := identity.conflicts(there, now):
    advice = locks.unless_shared(workdir, ", or remove it")
    raise ConfigError(
      f"{workdir} holds a study of another configuration; choose another "
      f"--workdir{advice}. The difference: " + "; ".join(different)
    )


def read(path: epath.Path) -> dict[str, Any]:
  """Reads config.json of a run.

  Raises:
    ConfigError: it is missing or damaged.
  """
  try:
    there = files.read_json(path, dict)
    if isinstance(there.get("config"), dict) and digests.is_whole(there):
      return there
    reason = "no configuration in it, or not that of its digest"
  except LostFileError as error:
    reason = str(error)
  raise ConfigError(
    f"{path}: cannot be read ({reason}), expected what an earlier run wrote"
    + locks.unless_shared(
      path.parent,
      "; delete it, and the same command goes on with what lies beside it",
    )
  )


def _accept_numerics(
  there: dict[str, Any], workdir: epath.Path, accept_numerics: bool
) -> list[int]:
  """Returns the numerics that were gone on from; refuses other ones."""
  found = there.get("numerics", 0)  # The first version wrote none.
  if found == NUMERICS:
    return []
  if not accept_numerics:
    raise ConfigError(
      f"{workdir}: found numerics {found}, expected {NUMERICS}: updates are "
      "rounded differently since it was begun; choose another --workdir, or "
      "go on with --accept_numerics, which config.json will say"
    )
  return [*there.get("accepted_numerics", []), found]


def _warn(there: dict[str, Any], now: dict[str, Any]) -> None:
  """Says what may change the last bits of results."""
  for name in ("versions", "threads", "xla_flags"):
    for line in identity.differences(
      there.get(name, now[name]), now[name], f"config.json.{name}"
    ):
      logging.warning("%s: results may differ in their last bits", line)
  if "code" not in there:  # Of the first version, which kept the commit alone.
    if there.get("commit") != now["commit"]:
      logging.warning(
        "config.json.commit: %r there, %r now: results may differ in their "
        "last bits", there.get("commit"), now["commit"],
      )  # fmt: skip
    return
  changed = sorted(
    name
    for name in there["code"].keys() | now["code"].keys()
    if there["code"].get(name) != now["code"].get(name)
  )
  if changed:
    logging.warning(
      "this study was begun by other code; what differs: %s",
      ", ".join(changed),
    )
