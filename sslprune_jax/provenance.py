"""What a run was made by: its configuration, versions and commit."""

import importlib.metadata
import os
import platform
import subprocess
from typing import Any

from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import files

_PACKAGES = (
  "sslprune-jax",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "numpy",
)


def record(config: ConfigDict, workdir: epath.Path) -> None:
  """Writes config.json, or holds this configuration against the one there.

  Raises:
    ConfigError: the workdir holds a study of another configuration.
  """
  path = epath.Path(workdir) / "config.json"
  now = {
    "config": config_lib.resolved(config),
    "versions": {
      "python": platform.python_version(),
      **{name: importlib.metadata.version(name) for name in _PACKAGES},
    },
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
    raise config_lib.ConfigError(
      f"{path.parent} holds a study of another configuration; choose another "
      "--workdir, or remove it. The difference: " + "; ".join(different)
    )
  del there["config"], now["config"]
  for line in differences(there, now, "config.json"):
    logging.warning("%s: results may differ in their last bits", line)


def differences(old: Any, new: Any, field: str = "config") -> list[str]:
  """Lists the fields in which two resolved configurations differ.

  Args:
    old: of the run on disk.
    new: of this run.
    field: the name of the value that is compared.

  Returns:
    Lines such as `config.prune.rate: 0.2 there, 0.5 now`.
  """
  if isinstance(old, dict) and isinstance(new, dict):
    return [
      line
      for key in sorted(old.keys() | new.keys())
      for line in differences(old.get(key), new.get(key), f"{field}.{key}")
    ]
  return [] if old == new else [f"{field}: {old!r} there, {new!r} now"]


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
