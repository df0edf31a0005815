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
  """Ends the command at signals from now on; not those that nohup ignores.

  Args:
    resumes: whether the same command goes on after a SIGTERM. Once it has what
      to save, `preemption.watch` takes the signal over.
  """
  if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
    signal.signal(signal.SIGHUP, _hang_up)
  if resumes and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _terminate)


def _hang_up(number, frame) -> None:
  del number, frame
  raise HangUp


def _terminate(number, frame) -> None:
  del number, frame
  os.write(1, f"{RESUME}\n".encode())  # print may be what was interrupted.
  sys.exit(0)


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
