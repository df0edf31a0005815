"""What libraries say of errors, which the command says in one line."""

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


def reason(error: Exception) -> str:
  """Returns, in a line, why Orbax or a library below it failed."""
  code = re.search(r"\[os_error_code='(\d+)'\]", str(error))
  if code:  # What TensorStore was refused, behind what it was about to do.
    return os.strerror(int(code[1]))
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
