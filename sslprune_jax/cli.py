"""What the commands share: flags, errors in a line, the closing words."""

import os
import re
import sys
import time
from collections.abc import Callable

from absl import app, flags, logging

from sslprune_jax.runtime.errors import LostFileError, UserError

_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "Run together with other processes, on the devices of all: HOST:PORT of the "
  "first, with --process; or auto, on Cloud TPU, under SLURM, Open MPI and "
  "Kubernetes.",
)
_PROCESS = flags.DEFINE_string(
  "process", None, "Which of the processes this is: 0/2 or 1/2."
)


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


def runs_with_others() -> bool:
  """Returns whether other processes run this command too.

  Flags that do not go together are refused.
  """
  named = _COORDINATOR.value not in (None, "auto")
  if named != (_PROCESS.value is not None):
    sys.exit(
      "error: --process: expected together with --coordinator=HOST:PORT, and "
      "not without"
    )
  if named:
    share_of("process", _PROCESS.value)
  return _COORDINATOR.value is not None


def join_others() -> None:
  """Joins the other processes, if there are any, and watches for SIGTERM.

  Raises:
    ProcessError: see `processes.start`.
  """
  # Imported here, so that --help and a mistyped flag answer at once.
  from sslprune_jax.runtime import preemption, processes

  if _COORDINATOR.value == "auto":
    processes.start("auto")
  elif _COORDINATOR.value:
    processes.start(_COORDINATOR.value, *share_of("process", _PROCESS.value))
  preemption.watch()


def share_of(flag: str, value: str) -> tuple[int, int]:
  """Returns (i, n) of a flag i/n, the i-th of n from 0."""
  match = re.fullmatch(r"(\d+)/(\d+)", value)
  if not match or int(match[1]) >= int(match[2]):
    sys.exit(f"error: --{flag}: found {value!r}, expected such as 0/2 or 1/2")
  return int(match[1]), int(match[2])


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
  from sslprune_jax.runtime import environment, files, preemption, processes

  environment.prepare()
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
  _say(environment.usage(time.monotonic() - started))
  if page:
    _say(f"report: {files.absolute(page)}")


def _write_report(workdir: str) -> os.PathLike:
  # Imported here, as matplotlib takes a second, and a run ends with it.
  from sslprune_jax import report

  page, *_ = report.write_report([workdir], f"{workdir}/report.html")
  return page


def _say(text: str) -> None:
  """Prints a line, of several processes the first one's."""
  from sslprune_jax.runtime import processes

  if processes.is_first():
    print(text, flush=True)
