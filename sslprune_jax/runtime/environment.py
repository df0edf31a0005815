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
# XLA drops optimization barriers on CPU before it fuses: `layers.write_once`
# needs them. A TPU's compiler fails where they are kept.
_KEEP_BARRIERS = "--xla_disable_hlo_passes=cse_barrier_expander"
# What glibc's malloc is told (malloc.h): to keep what is freed
# (M_TRIM_THRESHOLD), to map no large buffer on its own (M_MMAP_MAX), and to
# give all threads one heap (M_ARENA_MAX): further ones end at 64 MB.
_KEEP_MEMORY = ((-1, -1), (-4, 0), (-8, 1))
_HUGE_PAGES = 14  # madvise's MADV_HUGEPAGE, of Linux's mman.h
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
_OVERCOMMIT = pathlib.Path("/proc/sys/vm/overcommit_memory")
_MAPS = pathlib.Path("/proc/self/maps")
_MOST_MAPS = pathlib.Path("/proc/sys/vm/max_map_count")
_MANY_MAPS = 0.5  # of the most
# Beginnings of the variables by which a user chooses how memory is taken.
MALLOC = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
# Files of /dev: those of NVIDIA's and AMD's GPUs, of GPUs under Windows, and of
# TPUs.
_ACCELERATORS = ("nvidia[0-9]*", "kfd", "dxg", "accel[0-9]*", "vfio/[0-9]*")


def prepare() -> None:
  """Sets XLA's flags and the compilation cache, unless the user has set them.

  A second run of the same programs starts at once: they are compiled once a
  machine. On a CPU memory is kept (`_keep_memory`), which has no effect once
  JAX has started its threads.
  """
  flags = os.environ.get("XLA_FLAGS", "")
  line = tuple(int(part) for part in jax.__version__.split(".")[:2])
  if line in _LINES_WITH_FLAG and "ynn_fusion_type" not in flags:
    flags = f"{flags} {_EIGEN_CONVOLUTIONS}"
  if _is_cpu() and "xla_disable_hlo_passes" not in flags:
    flags = f"{flags} {_KEEP_BARRIERS}"
  os.environ["XLA_FLAGS"] = flags.strip()
  set_by_user = any(name.startswith(MALLOC) for name in os.environ)
  if _is_cpu() and not set_by_user:  # Accelerators have their own allocators.
    _keep_memory()
  if not jax.config.jax_compilation_cache_dir and (folder := cache_folder()):
    # JAX finds a program by all but the threads that XLA divided its loops
    # among: one compiled for a single thread would run on one of all for ever.
    own = folder / f"{_cores()}_cores_{threads()}_threads"
    jax.config.update("jax_compilation_cache_dir", str(own))
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
    _use_huge_pages(libc)


def _use_huge_pages(libc: ctypes.CDLL) -> None:
  """Lets the kernel back the heap by pages of 2 MB, where it may.

  XLA's steps read activations at strides of many kB, each from a page of its
  own else. A block of half the machine's memory is taken, advised and given
  back: malloc keeps it for what it is asked for next, and none of it is
  touched.
  """
  # The block would count where the kernel overcommits nothing, or a limit is of
  # what is asked for (`ulimit -v`).
  limits = {resource.getrlimit(kind)[0] for kind in _LIMITS}
  kind = _OVERCOMMIT.read_text().strip() if _OVERCOMMIT.exists() else "2"
  if kind == "2" or limits != {resource.RLIM_INFINITY}:
    return
  page = os.sysconf("SC_PAGE_SIZE")
  size = os.sysconf("SC_PHYS_PAGES") // 2 * page
  libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
  libc.free.argtypes = [ctypes.c_void_p]
  libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
  block = libc.malloc(size)
  if block:
    first = -(-block // page) * page
    libc.madvise(first, (block + size - first) // page * page, _HUGE_PAGES)
    libc.free(block)


def _is_cpu() -> bool:
  """Returns whether JAX will choose the CPU, without starting any device."""
  if jax.config.jax_platforms:
    return jax.config.jax_platforms.startswith("cpu")
  dev = pathlib.Path("/dev")
  return not any(found for kind in _ACCELERATORS for found in dev.glob(kind))


def threads() -> int:
  """Returns how many threads XLA takes on a CPU.

  Raises:
    UserError: `NPROC` is no number.
  """
  text = os.environ.get("NPROC", "")
  if text and not text.isdigit():
    raise UserError(f"NPROC: found {text!r}, expected a number of threads")
  return int(text or 0) or _cores()


def _cores() -> int:
  """Returns how many cores this process may run on (`taskset` leaves fewer)."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def release_programs() -> None:
  """Drops compiled programs where they are many; they are read again if used.

  Linux lets a process have 65,530 maps of memory, and ends one by SIGSEGV that
  XLA asks for more: a small study on CPU takes a thousand, and JAX keeps the
  programs of those that have ended.
  """
  try:
    maps = _MAPS.read_bytes().count(b"\n")
    most = int(_MOST_MAPS.read_text())
  except OSError:  # Not on Linux.
    return
  if maps > _MANY_MAPS * most:
    jax.clear_caches()


def cache_folder() -> pathlib.Path | None:
  """Returns the folder of what is compiled once a machine.

  None for a user without a home: what others may write to is not run.
  """
  root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  if root.startswith("~") or not root.isprintable():  # XLA opens UTF-8 alone.
    return None
  return pathlib.Path(root) / "sslprune_jax"


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
