"""What a run was made by: its configuration, versions and commit."""

import importlib.metadata
import platform
import subprocess

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
  }
  if not path.exists():
    files.write_json(path, now)
    return
  there = files.read_json(path)
  different = config_lib.differences(there["config"], now["config"])
  if different:
    raise config_lib.ConfigError(
      f"{path.parent} holds a study of another configuration; choose another "
      "--workdir, or remove it. The difference: " + "; ".join(different)
    )
  for line in config_lib.differences(
    {k: there[k] for k in ("versions", "commit")},
    {k: now[k] for k in ("versions", "commit")},
    "config.json",
  ):
    logging.warning("%s: results may differ in their last bits", line)


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
