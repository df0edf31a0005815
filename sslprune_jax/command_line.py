"""What the command lines share: flags, errors in a line, the closing words."""

import os
import sys
import time
from collections.abc import Callable

from absl import app, logging

from sslprune_jax.runtime.errors import LostFileError, UserError


def parse(argv: list[str]) -> list[str]:
  """Parses the flags; an unknown field of the config is one clear line."""
  try:
    argv = app.parse_flags_with_usage(argv)
  except (AttributeError, KeyError) as error:
    cause = error.args[0] if error.args else error
    words = cause.args[0] if isinstance(cause, Exception) else cause
    sys.exit(f"error: --config: no field {' '.join(str(words).split())}")
  if len(argv) > 1:
    sys.exit(f"error: found the argument {argv[1]!r}, expected flags only")
  return argv


def run(
  work: Callable[[], str], advice: str = "", *, reports: bool = True
) -> None:
  """Does the work of a command, and prints where its report lies.

  Args:
    work: writes the results, and returns their folder.
    advice: what to do about a damaged file that an earlier run left.
    reports: whether the results are whole, so that a page is written of them.
  """
  # Imported here, so that --help and a mistyped flag answer at once.
  from sslprune_jax import files, platform_setup, preemption, processes

  platform_setup.prepare()
  logging.set_verbosity(logging.WARNING)
  started = time.monotonic()
  try:
    workdir = work()
    page = None
    if reports:
      page = processes.from_first(lambda: _write_report(workdir))
  except preemption.Preempted:
    return _say("stopped by SIGTERM; resume with the same command")
  except UserError as error:
    lost = isinstance(error, LostFileError)
    sys.exit(f"error: {error}{advice if lost else ''}")
  except KeyboardInterrupt:
    sys.exit("\nstopped; the same command goes on from here")
  _say(platform_setup.usage(time.monotonic() - started))
  if page:
    _say(f"report: {files.absolute(page)}")


def _write_report(workdir: str) -> os.PathLike:
  # Imported here, as matplotlib takes a second, and a run ends with it.
  from sslprune_jax import report

  page, *_ = report.write([workdir], f"{workdir}/report.html")
  return page


def _say(text: str) -> None:
  """Prints a line, of several processes the first one's."""
  from sslprune_jax import processes

  if processes.is_first():
    print(text, flush=True)
