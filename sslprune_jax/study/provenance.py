"""What a run was made by: its configuration, versions and commit."""

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
from sslprune_jax.runtime import errors, files, processes

_PACKAGES = (
  "sslprune-jax",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "numpy",
)


def agree(config: ConfigDict) -> None:
  """Refuses processes that would not run the same.

  Raises:
    ProcessError: names a field in which one differs from the first.
  """
  if processes.count() == 1:
    return
  mine = {
    "config": config_lib.resolved(config),
    "versions": _versions(),
    "code": _digest_of_code(),
    "device": jax.devices()[0].device_kind,
  }
  first, *others = processes.from_all(mine)
  for number, other in enumerate(others, start=1):
    for line in differences(first, other, "", ("in process 0", f"in {number}")):
      raise processes.ProcessError(
        f"{line}; expected the same in all processes"
      )


def record(config: ConfigDict, workdir: epath.Path) -> None:
  """Writes config.json, or holds this configuration against the one there.

  Raises:
    ConfigError: the workdir holds a study of another configuration, or cannot
      be written.
  """
  try:
    processes.from_first(lambda: _record(config, workdir))
  except errors.ConfigError:
    raise
  # The system's, and for buckets those of several libraries.
  except Exception as error:  # noqa: BLE001
    raise errors.ConfigError(
      f"--workdir={workdir}: cannot be read and written ({error}), expected a "
      "folder that can or, with the extra gcs, a bucket"
    ) from error


def _record(config: ConfigDict, workdir: epath.Path) -> None:
  path = epath.Path(workdir) / "config.json"
  now = {
    "config": config_lib.resolved(config),
    "versions": _versions(),
    "commit": _commit(),
    # XLA's on CPU: how it sums depends on them.
    "threads": int(os.environ.get("NPROC", 0)) or os.cpu_count(),
  }
  if not path.exists():
    files.write_json(path, now)
    return
  there = files.read_json(path)
  different = differences(there["config"], now["config"])
  if different:
    raise errors.ConfigError(
      f"{path.parent} holds a study of another configuration; choose another "
      "--workdir, or remove it. The difference: " + "; ".join(different)
    )
  del there["config"], now["config"]
  for line in differences(there, now, "config.json"):
    logging.warning("%s: results may differ in their last bits", line)


def differences(
  old: Any,
  new: Any,
  field: str = "config",
  sides: tuple[str, str] = ("there", "now"),
) -> list[str]:
  """Lists the fields in which two resolved configurations differ.

  Args:
    old: of the run on disk.
    new: of this run.
    field: the name of the value that is compared.
    sides: what to call the old one and the new one.

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


def _versions() -> dict[str, str]:
  return {
    "python": platform.python_version(),
    **{name: importlib.metadata.version(name) for name in _PACKAGES},
  }


def _digest_of_code() -> str:
  """Returns the SHA-256 of this package's modules."""
  root = pathlib.Path(sslprune_jax.__file__).parent
  digest = hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
  return digest.hexdigest()


def _commit() -> str | None:
  """Returns the commit of the checkout that runs, None outside of one."""
  here = epath.Path(__file__).parent
  found = subprocess.run(
    ["git", "describe", "--always", "--dirty", "--abbrev=40"],
    cwd=here,
    capture_output=True,
    text=True,
    check=False,
  )
  return found.stdout.strip() or None
