"""What a study is run by: versions of packages, and this package's own code."""

import hashlib
import importlib.metadata
import pathlib
import platform
import subprocess

import jax

import sslprune_jax

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_ROOT = pathlib.Path(sslprune_jax.__file__).parent


def versions() -> dict[str, str]:
  """Returns the versions of Python, this package and those below it."""
  return {
    "python": platform.python_version(),
    # A checkout need not be installed.
    "sslprune-jax": sslprune_jax.__version__,
    **{name: importlib.metadata.version(name) for name in _PACKAGES},
  }


def machine() -> str:
  """Names what computes: "cpu, AMD EPYC 9B14", or the accelerators."""
  devices = jax.devices()
  found = devices[0].device_kind
  if devices[0].platform != "cpu":
    return f"{len(devices)} x {found}"
  about = pathlib.Path("/proc/cpuinfo")  # Of Linux.
  lines = about.read_text().splitlines() if about.exists() else []
  names = [line.partition(": ")[2] for line in lines if "model name" in line]
  return f"{found}, {names[0] if names else platform.machine()}"


def code() -> dict[str, str]:
  """Returns the SHA-256 of each module of this package, by its path."""
  return {
    str(path.relative_to(_ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(_ROOT.rglob("*.py"))
  }


def commit() -> str | None:
  """Returns the commit of the checkout that runs, None outside of one."""
  try:
    # An installed package may lie below the repository of something else.
    if not _ask_git("ls-files", "__init__.py"):
      return None
    return _ask_git("describe", "--always", "--dirty", "--abbrev=40") or None
  except OSError:  # There is no git.
    return None


def _ask_git(*arguments: str) -> str:
  """Returns what git says of the folder of this package; "" if it refuses."""
  found = subprocess.run(
    ["git", *arguments],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  return found.stdout.strip()
