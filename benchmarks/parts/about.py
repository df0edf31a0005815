"""What a part was run on, and by which commit."""

import importlib.metadata
import pathlib
import platform
import subprocess

import jax

_ROOT = pathlib.Path(__file__).parent.parent.parent
_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch")


def items(short):
  """Returns the one item."""
  return {"about": lambda seconds: about(short)}


def about(short):
  """Returns the devices, the versions and the commit."""
  device = jax.devices()[0]
  versions = {}
  for package in _PACKAGES:
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      versions[package] = None
  return {
    "platform": device.platform,
    "device": device.device_kind,
    "devices": jax.device_count(),
    "python": platform.python_version(),
    "versions": versions,
    "commit": _commit(),
    "short": short,
  }


def _commit():
  """Returns the commit, or None where there is no git."""
  try:
    found = subprocess.run(
      ["git", "describe", "--always", "--dirty"],
      cwd=_ROOT,
      capture_output=True,
      text=True,
    )
  except OSError:
    return None
  return found.stdout.strip() or None
