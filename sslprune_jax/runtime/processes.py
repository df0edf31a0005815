"""Processes that run one study together, each with devices of its own.

All run the same code in step and hold the same values. The first one alone
touches the workdir and the terminal; what it reads there it sends to the
others, so that no other process need see the workdir.
"""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from sslprune_jax.runtime import messages
from sslprune_jax.runtime.errors import UserError

_START_TIMEOUT = 50  # seconds that processes wait for each other
_SILENCE_TIMEOUT = 30  # seconds after which a silent process counts as dead
_CHUNK = 2**26  # bytes that are sent at a time

Value = TypeVar("Value")

_count, _index = 1, 0
_is_alone = False  # The first process does what the others do not.

# If a peer dies, JAX's C++ runtime aborts this process with a page of output. A
# helper prints one readable line.
_LAST_WORDS = """
import sys
if not sys.stdin.read(1):
  sys.stderr.write(
    "error: this process was ended, most likely because another one ended or "
    "did not start, or could not reach " + sys.argv[1] + " of the first host "
    "through a firewall: see the lines above, and those of the others. The "
    "same command goes on from here\\n"
  )
"""


class ProcessError(UserError, RuntimeError):
  """Processes that do not find each other, or would not do the same."""


def start(coordinator: str, index: int | None = None, total: int = 0) -> None:
  """Joins the other processes; before JAX starts its devices.

  Args:
    coordinator: HOST:PORT on which the first process listens; or "auto", on
      Cloud TPU, under SLURM, Open MPI and Kubernetes.
    index: number of this process, from 0; None for "auto".
    total: number of processes; 0 for "auto".

  Raises:
    ProcessError: nobody answers, or processes have different devices.
  """
  global _count, _index
  named = {}
  if coordinator != "auto":
    _find(coordinator, index)
    named = {
      "coordinator_address": coordinator,
      "num_processes": total,
      "process_id": index,
      # Not on all addresses of the machine: localhost is for this one alone.
      "coordinator_bind_address": coordinator,
    }
  door = _door(coordinator)
  _prepare_last_words(door)
  try:
    jax.distributed.initialize(
      initialization_timeout=_START_TIMEOUT,
      heartbeat_timeout_seconds=_SILENCE_TIMEOUT,
      shutdown_timeout_seconds=_SILENCE_TIMEOUT,
      **named,
    )
  except ValueError as error:
    raise ProcessError(
      f"--coordinator={coordinator}: found no job of several processes "
      f"({error}); expected one of Cloud TPU, SLURM, Open MPI or Kubernetes, "
      "or HOST:PORT and --process"
    ) from None
  except RuntimeError as error:  # Of JAX's service, as DEADLINE_EXCEEDED.
    reason = str(error).strip().split("\n")[0][:200]
    raise ProcessError(
      f"--coordinator={coordinator}: not all processes met within "
      f"{_START_TIMEOUT} s ({reason}), expected all of them to be started, and "
      f"a firewall that lets {door} of the first host through; "
      "JAX_COORDINATOR_PORT names another for auto"
    ) from None
  _count, _index = jax.process_count(), jax.process_index()
  devices = [len(jax.local_devices(i)) for i in range(_count)]
  if len(set(devices)) > 1:
    raise ProcessError(
      f"found processes with {', '.join(map(str, devices))} devices, expected "
      "as many in each"
    )


def count() -> int:
  """Returns the number of processes that run together."""
  return _count


def is_first() -> bool:
  """Returns whether this process writes files and speaks."""
  return _index == 0


def from_first(make: Callable[[], Value]) -> Value:
  """Runs `make` on process 0 and broadcasts its result, or exception, to all.

  Args:
    make: function of no arguments; it may call functions that call this one.
      What it returns is sent: see `messages.pack`.

  Returns:
    What `make` returned, in all processes.

  Raises:
    Exception: what `make` raised, in all processes; SystemExit too.
  """
  global _is_alone
  if _count == 1 or _is_alone:
    return make()
  value = error = None
  if is_first():
    _is_alone = True
    try:
      value = make()
    # Else the others wait for what never comes. Not KeyboardInterrupt: a Ctrl-C
    # reaches all processes of a terminal, and ends each.
    except (Exception, SystemExit) as raised:
      error = raised
    finally:
      _is_alone = False
    failed = error is not None
    sent = messages.pack_error(error) if failed else messages.pack(value)
    _send(bytes([failed]) + sent)
  else:
    failed, received = (content := _send(b""))[0], content[1:]
    if failed:
      error = messages.unpack_error(received)
    else:
      value = messages.unpack(received)
  if error is not None:
    raise error
  return value


def from_all(value: Value) -> list[Value]:
  """Gathers the values of all processes, in all, the first one's first.

  Args:
    value: this process's own; see `messages.pack`.
  """
  if _count == 1:
    return [value]
  content = np.frombuffer(messages.pack(value), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(content.size))
  rows = multihost_utils.process_allgather(
    np.pad(content, (0, sizes.max() - content.size))
  )
  return [
    messages.unpack(row[:size].tobytes())
    for row, size in zip(rows, sizes, strict=True)
  ]


def _send(content: bytes) -> bytes:
  """Broadcasts the first process's bytes; those of the others are ignored."""
  size = np.frombuffer(len(content).to_bytes(8, "little"), np.uint8)
  size = multihost_utils.broadcast_one_to_all(size)
  size = int.from_bytes(size.tobytes(), "little")
  parts = []
  for first in range(0, size, _CHUNK):
    length = min(_CHUNK, size - first)
    # A power of two: few shapes are compiled.
    padded = np.zeros(1 << (length - 1).bit_length(), np.uint8)
    if is_first():
      part = content[first : first + length]
      padded[:length] = np.frombuffer(part, np.uint8)
    found = multihost_utils.broadcast_one_to_all(padded)
    parts.append(found[:length].tobytes())
  return b"".join(parts)


def _find(coordinator: str, index: int) -> None:
  """Waits until the first process listens, or looks whether this one can."""
  host, _, port = coordinator.rpartition(":")
  if not host or not port.isdigit():
    raise ProcessError(
      f"--coordinator: found {coordinator!r}, expected auto or HOST:PORT"
    )
  if index == 0:
    with contextlib.closing(socket.socket()) as own:
      own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      try:
        own.bind((host, int(port)))
      except OSError as error:
        raise ProcessError(
          f"--coordinator={coordinator}: cannot listen there "
          f"({error.strerror}), expected an address of this host and a free "
          "port"
        ) from None
    return
  until = time.monotonic() + _START_TIMEOUT
  while True:
    try:
      socket.create_connection((host, int(port)), timeout=5).close()
      return
    except OSError as error:
      if time.monotonic() > until:
        raise ProcessError(
          f"--coordinator={coordinator}: nobody answers for {_START_TIMEOUT} s "
          f"({error}), expected the process with --process=0/.. there, and a "
          f"firewall that lets port {port} through"
        ) from None
    time.sleep(0.2)


def _door(coordinator: str) -> str:
  """Returns words for the port on which the first process listens."""
  if coordinator != "auto":
    return f"port {coordinator.rpartition(':')[2]}"
  port = os.environ.get("JAX_COORDINATOR_PORT")
  # JAX's since 0.8.1; the default rules of v6e slices close it.
  return f"port {port or '8482, on Cloud TPU, or the one that JAX chose,'}"


def _prepare_last_words(door: str) -> None:
  """Starts the helper that says in a line that the runtime ended this process.

  It speaks if its input is closed before it was told to be silent.
  """
  speaker = subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", _LAST_WORDS, door],
    stdin=subprocess.PIPE,
    start_new_session=True,  # A Ctrl-C is not for it.
  )
  atexit.register(lambda: speaker.communicate(b"."))
