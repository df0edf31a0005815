"""What is set before JAX starts its devices, and what a run used."""

import ctypes
import os
import pathlib
import re
import resource
import sys

import jax

from sslprune_jax.runtime.errors import UserError
from sslprune_jax.runtime.progress import clock

# jaxlib 0.10 to 0.12 hand CPU convolutions to YNNPACK, whose weight gradient is
# several times slower than the Eigen kernels that this brings back. The flag is
# experimental, and an unknown flag aborts the process: other lines run without.
_EIGEN_CONVOLUTIONS = (
  "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
)
_LINES_WITH_FLAG = ((0, 10), (0, 11), (0, 12))
# What glibc's malloc is told (malloc.h): to keep what is freed
# (M_TRIM_THRESHOLD), to map no large buffer on its own (M_MMAP_MAX), and to
# give all threads one heap (M_ARENA_MAX): further ones end at 64 MB.
_KEEP_MEMORY = ((-1, -1), (-4, 0), (-8, 1))
# Beginnings of the variables by which a user chooses how memory is taken.
MALLOC = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
# Files of /dev: those of NVIDIA's and AMD's GPUs, and of TPUs.
_ACCELERATORS = ("nvidia[0-9]*", "kfd", "accel[0-9]*", "vfio/[0-9]*")


def prepare() -> None:
  """Sets XLA's flags and the compilation cache, unless the user has set them.

  A second run of the same programs starts at once: they are compiled once a
  machine. On a CPU memory is kept (`_keep_memory`), which has no effect once
  JAX has started its threads.
  """
  flags = os.environ.get("XLA_FLAGS", "")
  line = tuple(int(part) for part in jax.__version__.split(".")[:2])
  if line in _LINES_WITH_FLAG and "ynn_fusion_type" not in flags:
    os.environ["XLA_FLAGS"] = f"{flags} {_EIGEN_CONVOLUTIONS}".strip()
  set_by_user = any(name.startswith(MALLOC) for name in os.environ)
  if _is_cpu() and not set_by_user:  # Accelerators have their own allocators.
    _keep_memory()
  if not jax.config.jax_compilation_cache_dir and (folder := cache_folder()):
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _keep_memory() -> None:
  """Lets the buffers of XLA's CPU steps be used again by the next update.

  Else each update gives them back to the kernel, and the next one waits for as
  many pages of zeros (`benchmarks/page_faults.py` counts them).
  """
  libc = ctypes.CDLL(None)
  if hasattr(libc, "mallopt"):
    for parameter, value in _KEEP_MEMORY:
      libc.mallopt(parameter, value)


def _is_cpu() -> bool:
  """Returns whether JAX will choose the CPU, without starting any device."""
  if jax.config.jax_platforms:
    return jax.config.jax_platforms.startswith("cpu")
  dev = pathlib.Path("/dev")
  return not any(found for kind in _ACCELERATORS for found in dev.glob(kind))


def cache_folder() -> pathlib.Path | None:
  """Returns the folder of what is compiled once a machine.

  None for a user without a home: what others may write to is not run.
  """
  root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  return None if root.startswith("~") else pathlib.Path(root) / "sslprune_jax"


def check_devices() -> None:
  """Refuses a machine on which JAX finds no device.

  Raises:
    UserError: says JAX's reason, and what it was told.
  """
  try:
    jax.local_devices()
  except RuntimeError as error:
    reason = " ".join(str(error).split())
    told = os.environ.get("JAX_PLATFORMS", "")
    raise UserError(
      f"JAX_PLATFORMS={told}: JAX finds no device ({reason}), expected one of "
      "this machine's, such as cpu"
    ) from None


def memory_limit() -> int | None:
  """Returns the bytes of a device's memory; None where it is the host's."""
  stats = jax.local_devices()[0].memory_stats() or {}
  return stats.get("bytes_limit")


def peak_memory() -> int:
  """Returns the most bytes of memory that this process held at a time."""
  # Linux's ru_maxrss starts from what the process that started this one held,
  # such as a notebook; VmHWM is of this program alone.
  status = pathlib.Path("/proc/self/status")
  if status.exists():
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return 1024 * int(peak)
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak * (1 if sys.platform == "darwin" else 1024)


def usage(seconds: float) -> str:
  """Says how long a run took and the most memory that it held.

  Args:
    seconds: duration of the run.

  Returns:
    Text such as "3 min 12 s, peak memory 1.25 GB".
  """
  text = f"{clock(seconds)}, peak memory {peak_memory() / 1e9:.2f} GB"
  for device in jax.local_devices():
    stats = device.memory_stats() or {}
    if "peak_bytes_in_use" in stats:
      text += f", {device} {stats['peak_bytes_in_use'] / 1e9:.2f} GB"
  return text
