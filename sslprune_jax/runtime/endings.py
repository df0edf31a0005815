"""How a command ends that does not end well: errors in a line, and signals.

The exit status is 2 for an unknown flag or command, 1 for every other error,
130 after Ctrl-C, 129 after SIGHUP; and 0 after SIGTERM, where the same command
goes on: nothing failed.

Nothing is raised at a signal: raised while a library is imported, or called
back, an exception is lost, or turns into another. Until there is something to
save, the command ends at once; from then on the signal is noted, and the work
asks for it where it can save. A second Ctrl-C ends at once wherever it is.
"""

import argparse
import contextlib
import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

# What a machine refuses; any other OSError is a defect, and shows where it is.
_REFUSALS = {
  *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
  *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EFBIG, errno.EIO),
  *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ELOOP),
}
_CLOSED = (errno.EPIPE, errno.EIO)  # Of a pipe, and of a terminal.

# As argparse says it.
_UNKNOWN = ("unrecognized arguments", "argument command: invalid choice")

_GOES_ON = "; what was done is kept, and the same command goes on from there"

_asked: int | None = None  # Number of the first signal that was noted.
_begun: set[os.PathLike] = set()  # Folders of `removing`.


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


def refuse_if_machine_did(error: Exception) -> None:
  """Ends the command if an error says no more than that a disk is full.

  Args:
    error: what ends the work; an OSError of another kind, or a RuntimeError, is
      a defect of the program, and is left to be raised.
  """
  if isinstance(error, OSError) and error.errno in _REFUSALS:
    refuse(f"{error.filename or 'a file'}: {error.strerror}{_GOES_ON}")
  words = str(error).strip().split("\n")[0]
  # JAX's error of a device that has too little memory is a RuntimeError.
  if isinstance(error, MemoryError) or words.startswith("RESOURCE_EXHAUSTED"):
    refuse(f"out of memory ({words or 'of the host'}){_GOES_ON}")


class ArgumentParser(argparse.ArgumentParser):
  """Parser of a command without a configuration; errors are one line."""

  def error(self, message: str) -> NoReturn:
    """Ends the command: 2 for a flag or command that is not there, else 1."""
    refuse(message, status=2 if message.startswith(_UNKNOWN) else 1)


def start(main: Callable[[], int]) -> NoReturn:
  """Runs a command that goes on from nothing, and ends it with its status.

  Args:
    main: function that does its work; returns the exit status.
  """
  watch(resumes=False)
  from sslprune_jax.runtime import libraries  # Signals are heard by now.

  libraries.silence()
  outlive_pipe()
  sys.exit(main())


def watch(*, resumes: bool) -> None:
  """Ends the command at once at signals; not at those that are ignored.

  Args:
    resumes: whether the same command goes on after a SIGTERM.
  """
  numbers = [signal.SIGINT, signal.SIGHUP]
  for number in numbers + [signal.SIGTERM] * resumes:
    if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
      signal.signal(number, _end_at_once)


def note(*, hand_over: bool) -> None:
  """Notes signals from now on, where `watch` ended the command.

  Args:
    hand_over: whether JAX's runtime, which watches for SIGTERM in all of
      several processes, is told of the others by that signal.
  """
  for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) == _end_at_once:
      signal.signal(number, lambda number, frame: None)
  if hand_over:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
  # A handler waits while XLA compiles; what is written to a pipe does not.
  inner, outer = os.pipe()
  os.set_blocking(outer, False)
  signal.set_wakeup_fd(outer, warn_on_full_buffer=False)
  threading.Thread(target=_listen, args=(inner, hand_over), daemon=True).start()


@contextlib.contextmanager
def removing(folder: os.PathLike) -> Iterator[None]:
  """Removes a folder that was begun, also where a signal ends the command.

  Args:
    folder: folder that only what happens in this context needs.
  """
  _begun.add(folder)
  try:
    yield
  finally:
    shutil.rmtree(folder, ignore_errors=True)
    _begun.discard(folder)


def ending_signal() -> int | None:
  """Returns the number of the signal that asks the work to end, if any."""
  return _asked


def farewell() -> str:
  """Returns the last words of a command that was asked to end."""
  name = signal.Signals(_asked or signal.SIGTERM).name
  return f"stopped by {name}; resume with the same command"


def status() -> int:
  """Returns the exit status of a command that was asked to end."""
  number = _asked or signal.SIGTERM
  return 0 if number == signal.SIGTERM else 128 + number


def outlive_pipe() -> None:
  """Makes what is printed to a reader that has ended, as `head`, be lost.

  What cannot be encoded is escaped, such as a name that is no UTF-8.
  """
  for name in ("stdout", "stderr"):
    stream = getattr(sys, name)
    if not isinstance(stream, _Printed):
      # A log, too, shows a line as it is printed.
      stream.reconfigure(line_buffering=True, errors="backslashreplace")
      setattr(sys, name, _Printed(stream))


class _Printed:
  """A stream that ends in nowhere once nobody reads it."""

  def __init__(self, stream):
    self._stream = stream

  def __getattr__(self, name):
    return getattr(self._stream, name)

  def write(self, text):
    self._try(lambda: self._stream.write(text))
    return len(text)

  def flush(self):
    self._try(self._stream.flush)

  def _try(self, print_it):
    try:
      print_it()
    except OSError as error:
      if error.errno not in _CLOSED:
        raise
      os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
      self._stream.flush()


def _listen(pipe: int, hand_over: bool) -> None:
  """Notes the numbers of signals."""
  global _asked
  while True:
    for number in os.read(pipe, 64):
      if number not in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        continue
      if _asked is not None and number == signal.SIGINT:
        _print(2, "\nstopped")
        os._exit(128 + number)
      if _asked is None:
        if number == signal.SIGINT:
          _print(2, "\nstopping: saving first; Ctrl-C again ends at once")
        _asked = number
        if hand_over and number != signal.SIGTERM:
          os.kill(os.getpid(), signal.SIGTERM)


def _end_at_once(number, frame) -> None:
  del frame
  ends_well = number == signal.SIGTERM
  if ends_well:
    _print(1, farewell())
  else:
    _print(2, "\nstopped")
  for folder in list(_begun):
    shutil.rmtree(folder, ignore_errors=True)
  os._exit(0 if ends_well else 128 + number)


def _print(file: int, words: str) -> None:
  with contextlib.suppress(OSError):  # The terminal may be gone.
    os.write(file, f"{words}\n".encode())
