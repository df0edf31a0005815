"""What a run was made by, and what makes a study another one.

A workdir holds one study. It goes on with another number of processes, other
seeds or more rounds; not with another configuration, nor with numerics or
plug-ins that would end in other bits.
"""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax
from absl import logging
from etils import epath
from ml_collections import ConfigDict

import sslprune_jax
from sslprune_jax import config as config_lib
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import plugins
from sslprune_jax.config.protocols import PROTOCOLS
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.runtime import digests, files, locks, processes
from sslprune_jax.runtime.errors import ConfigError, LostFileError, UserError
from sslprune_jax.study import identity, start
from sslprune_jax.training.step import NUMERICS

_PACKAGES = (
  *("sslprune-jax", "jax", "jaxlib", "flax", "optax"),
  *("orbax-checkpoint", "numpy"),
)
_ROOT = pathlib.Path(sslprune_jax.__file__).parent


def agree(config: ConfigDict) -> None:
  """Refuses processes that would not run the same.

  Raises:
    ProcessError: names a field in which one differs from the first.
  """
  if processes.count() == 1:
    return
  mine = {
    "config": config_lib.resolve(config),
    "versions": _versions(),
    "code": _code(),
    "plugins": plugins.list_used(config),
    "start": start.digest(config),
    "device": jax.devices()[0].device_kind,
  }
  first, *others = processes.from_all(mine)
  for number, other in enumerate(others, start=1):
    sides = "in process 0", f"in {number}"
    for line in identity.differences(first, other, "", sides):
      raise processes.ProcessError(
        f"{line}; expected the same in all processes"
      )


def record(
  config: ConfigDict, workdir: epath.Path, *, accept_numerics: bool = False
) -> ConfigDict:
  """Writes config.json, or holds this run against the one there.

  Args:
    config: the configuration.
    workdir: folder of the study.
    accept_numerics: whether to go on with a study whose updates were rounded
      differently; config.json then says so.

  Returns:
    The configuration with all that the workdir has been asked for: its seeds,
    rounds and protocols, and those of earlier runs.

  Raises:
    ConfigError: the workdir holds another study.
  """
  grown = processes.from_first(
    lambda: _record(config, epath.Path(workdir), accept_numerics)
  )
  return identity.with_values(config, grown)


def _record(
  config: ConfigDict, workdir: epath.Path, accept_numerics: bool
) -> dict[str, Any]:
  """Writes config.json; returns the fields that have grown, by name."""
  path = workdir / workdir_lib.CONFIG
  now = {
    "config": config_lib.resolve(config),
    "versions": _versions(),
    "commit": _commit(),
    # XLA's on CPU: how it sums depends on them.
    "threads": _threads(),
    "numerics": NUMERICS,
    "code": _code(),
    "plugins": plugins.list_used(config),
    "start": start.digest(config),
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
  there = _read(path)
  before = identity.complete(there["config"])
  _check_same(workdir, before, there, now)
  accepted = _accept_numerics(there, workdir, accept_numerics)
  _warn(there, now)
  grown = identity.union(before, now["config"])
  kept = {**there, "config": identity.place(before, grown)}
  if now["protocols"]:
    kept["protocols"] = there.get("protocols", {}) | now["protocols"]
  if accepted:
    kept |= {"numerics": NUMERICS, "accepted_numerics": accepted}
  if kept != there:
    files.write_json(path, digests.stamp(kept))
  return grown


def _check_same(
  workdir: epath.Path,
  before: dict[str, Any],
  there: dict[str, Any],
  now: dict[str, Any],
) -> None:
  """Refuses what is another study; `before` has all fields of `there`."""
  different = identity.differences(
    identity.part(before), identity.part(now["config"])
  )
  different += identity.differences(
    there.get("plugins", {}), now["plugins"], "plugins"
  )
  different += identity.differences(
    there.get("start", ""), now["start"], "SHA-256 of config.start"
  )
  if different:
    advice = locks.unless_shared(workdir, ", or remove it")
    raise ConfigError(
      f"{workdir} holds a study of another configuration; choose another "
      f"--workdir{advice}. The difference: " + "; ".join(different)
    )


def _read(path: epath.Path) -> dict[str, Any]:
  """Reads config.json."""
  try:
    there = files.read_json(path, dict)
    if isinstance(there.get("config"), dict):
      return there
    reason = "no configuration in it"
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
  for name in ("versions", "threads"):
    for line in identity.differences(
      there.get(name), now[name], f"config.json.{name}"
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


def _versions() -> dict[str, str]:
  return {
    "python": platform.python_version(),
    **{name: importlib.metadata.version(name) for name in _PACKAGES},
  }


def _code() -> dict[str, str]:
  """Returns the SHA-256 of each module of this package, by its path."""
  return {
    str(path.relative_to(_ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(_ROOT.rglob("*.py"))
  }


def _threads() -> int | None:
  """Returns how many threads XLA takes on a CPU."""
  text = os.environ.get("NPROC", "")
  if not text:
    return os.cpu_count()
  if not text.isdigit():
    raise UserError(f"NPROC: found {text!r}, expected a number of threads")
  return int(text) or os.cpu_count()


def _commit() -> str | None:
  """Returns the commit of the checkout that runs, None outside of one."""
  try:
    found = subprocess.run(
      ["git", "describe", "--always", "--dirty", "--abbrev=40"],
      cwd=_ROOT,
      capture_output=True,
      text=True,
      check=False,
    )
  except OSError:  # There is no git.
    return None
  return found.stdout.strip() or None
