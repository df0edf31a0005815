"""How a command ends that does not end well: errors in a line, and signals.

The exit status is 2 for an unknown flag or command, 1 for every other error,
130 after Ctrl-C, 129 after SIGHUP; and 0 after SIGTERM, where the same command
goes on: nothing failed.
"""

import argparse
import contextlib
import errno
import os
import signal
import sys
from typing import NoReturn

# What a machine refuses; any other OSError is a defect, and shows where it is.
_REFUSALS = {
  *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
  *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG),
}

RESUME = "stopped by SIGTERM; resume with the same command"


class HangUp(KeyboardInterrupt):
  """SIGHUP: it ends the command wherever it is, as Ctrl-C does."""


def refuse(words: object, status: int = 1) -> NoReturn:
  """Ends the command with one line.

  Args:
    words: text behind `error: `.
    status: exit status.
  """
  if status == 1:
    sys.exit(f"error: {words}")
  print(f"error: {words}", file=sys.stderr)
  sys.exit(status)


def refuse_if_machine_did(error: OSError) -> None:
  """Ends the command if an error says no more than that a disk is full."""
  if error.errno in _REFUSALS:
    refuse(f"{error.filename or 'a file'}: {error.strerror}")


class ArgumentParser(argparse.ArgumentParser):
  """Parser of a command without a configuration; errors are one line."""

  def error(self, message: str) -> NoReturn:
    """Ends the command with 2."""
    refuse(message, status=2)


def watch(*, resumes: bool) -> None:
  """Ends the command at once at signals; not at those that are ignored.

  Raised while a library is imported, an exception is lost, or turns into
  another: until `unwind` there is nothing to save, and nothing is raised.

  Args:
    resumes: whether the same command goes on after a SIGTERM.
  """
  numbers = [signal.SIGINT, signal.SIGHUP]
  for number in numbers + [signal.SIGTERM] * resumes:
    if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
      signal.signal(number, _end_at_once)


def unwind() -> None:
  """Raises KeyboardInterrupt at signals from now on, where `watch` ended."""
  if signal.getsignal(signal.SIGINT) == _end_at_once:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  if signal.getsignal(signal.SIGHUP) == _end_at_once:
    signal.signal(signal.SIGHUP, _hang_up)


def _end_at_once(number, frame) -> None:
  del frame
  ends_well = number == signal.SIGTERM
  file, words = (1, RESUME) if ends_well else (2, "\nstopped")
  with contextlib.suppress(OSError):  # The terminal may be gone.
    os.write(file, f"{words}\n".encode())
  os._exit(0 if ends_well else 128 + number)


def _hang_up(number, frame) -> None:
  del number, frame
  raise HangUp


def stop(error: KeyboardInterrupt, advice: str = "") -> NoReturn:
  """Ends the command after Ctrl-C or SIGHUP.

  Args:
    error: what ends it.
    advice: words on what to do next.
  """
  if isinstance(error, HangUp):  # The terminal is gone: nothing is said there.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for file in (sys.stdout, sys.stderr):
      with contextlib.suppress(OSError, ValueError):
        if file.isatty():
          os.dup2(nowhere, file.fileno())
  print(f"\nstopped{advice}", file=sys.stderr)
  number = signal.SIGHUP if isinstance(error, HangUp) else signal.SIGINT
  sys.exit(128 + number)
