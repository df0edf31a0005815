"""What libraries say of errors, which the command says in one line."""

import errno
import functools
import importlib.util
import logging as logging_lib
import os
import re
import sys
import traceback
import types
import warnings

from absl import logging

# What a machine, or what it is mounted by, refuses now and may give later.
_REFUSED = {
  *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
  *(errno.ESTALE, errno.EIO, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT),
  *(errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH),
}
# The same of a bucket, as TensorStore names it.
_REFUSALS = (
  *("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED"),
  *("PERMISSION_DENIED", "UNAUTHENTICATED"),
)


def silence() -> None:
  """Keeps libraries from telling, in pages, what they raise as well.

  Orbax logs what fails in its threads, such as on a full disk, and leaves
  what it had begun for asyncio and TensorStore to speak of. What is wrong with
  an image Pillow logs, and the command says by its name.
  """
  logging.get_absl_logger().addFilter(_is_not_of_orbax)
  for name in ("asyncio", "PIL"):
    logging_lib.getLogger(name).setLevel(logging_lib.CRITICAL)
  warnings.filterwarnings(
    "ignore", "coroutine .* was never awaited", RuntimeWarning
  )
  ignored = sys.unraisablehook

  def say_ignored(about):
    if not _is_raised_in_asyncio(about.exc_traceback):
      ignored(about)

  sys.unraisablehook = say_ignored


def is_refusal(error: Exception) -> bool:
  """Returns whether a machine or a bucket refused to read what may be whole."""
  code = getattr(error, "errno", None) or _code_of_tensorstore(error)
  if code:
    return code in _REFUSED
  return isinstance(error, MemoryError) or str(error).startswith(_REFUSALS)


def _code_of_tensorstore(error: Exception) -> int | None:
  """Returns what it was refused, behind what it was about to do."""
  code = re.search(r"\[os_error_code='(\d+)'\]", str(error))
  return int(code[1]) if code else None


def reason(error: Exception) -> str:
  """Returns, in a line, why Orbax or a library below it failed."""
  code = _code_of_tensorstore(error)
  if code:
    return os.strerror(code)
  lines = str(error).strip().split("\n")  # Specifications follow.
  return lines[0][:200] or type(error).__name__


def _is_not_of_orbax(record: logging_lib.LogRecord) -> bool:
  return not record.pathname.startswith(_folders_of_orbax())


@functools.cache
def _folders_of_orbax() -> tuple[str, ...]:
  spec = importlib.util.find_spec("orbax")
  return tuple(f"{path}/" for path in spec.submodule_search_locations)


def _is_raised_in_asyncio(trace: types.TracebackType | None) -> bool:
  names = [f.f_globals["__name__"] for f, _ in traceback.walk_tb(trace)]
  return bool(names) and names[-1].startswith("asyncio.")
