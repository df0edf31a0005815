"""Seeds side by side: processes that divide the seeds of a configuration.

A small network does not fill the devices of a host. Each process runs its share
of the seeds (`study.run.run`) on a device of its own, into the same workdir.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

from sslprune_jax.runtime.errors import UserError

_PARENT = "SSLPRUNE_JAX_PARENT"  # set in the environment of the processes


_ERROR = "error: "


class ShareError(UserError, RuntimeError):
  """A process that ended before its share was done."""


def start(
  module: str, arguments: Sequence[str], count: int
) -> list[subprocess.Popen]:
  """Starts the command once for each share of the seeds.

  When this process ends, however it does, so do the others.

  Args:
    module: name of this command's module.
    arguments: flags of this command.
    count: number of processes.

  Returns:
    The processes, for `finish`.

  Raises:
    ShareError: there are fewer devices.
  """
  own = [device(index) for index in range(count)]
  return [
    subprocess.Popen(
      [sys.executable, "-m", module, *arguments] + [f"--share={index}/{count}"],
      env={**os.environ, **own[index], _PARENT: str(os.getpid())},
      stdin=subprocess.PIPE,  # Closed when this process ends.
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    for index in range(count)
  ]


def finish(processes: Sequence[subprocess.Popen]) -> None:
  """Waits for processes, and prints what they print.

  Args:
    processes: processes from `start`.

  Raises:
    ShareError: one has failed; the others are stopped.
    Preempted: this process was asked to end; so are the others.
  """
  # Imported here, as it takes seconds, in which the processes start.
  from sslprune_jax.runtime import preemption

  failed, errors = threading.Event(), []
  threads = [
    threading.Thread(target=_follow, args=(p, failed, errors), daemon=True)
    for p in processes
  ]
  try:
    for thread in threads:
      thread.start()
    while any(thread.is_alive() for thread in threads):
      if failed.wait(timeout=0.2) or preemption.is_due():
        break
    if failed.is_set():
      words = "; ".join(dict.fromkeys(errors))
      raise ShareError(words or "one of the processes has failed: see above")
    preemption.check()
  finally:
    for process in processes:
      process.terminate()
    for process in processes:
      process.wait()
    for thread in threads:  # What is left to print; not a pipe that is held.
      if thread.ident:
        thread.join(timeout=5)


def device(index: int) -> dict[str, str]:
  """Returns the environment in which a process sees one device.

  On CPU that is one thread of XLA's. How it sums depends on their number, so
  that the bits are the same for any number of processes, and others than those
  of a process that takes all cores.

  Args:
    index: number of the process, and of its device on this host.

  Returns:
    Variables to set. Where the user has chosen devices, it is one of those.

  Raises:
    ShareError: there are fewer of those.
  """
  return {
    "NPROC": "1",
    **{
      name: _choose(name, index)
      for name in ("CUDA_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS")
    },
    "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1",
    "TPU_PROCESS_BOUNDS": "1,1,1",
  }


def _choose(name: str, index: int) -> str:
  chosen = os.environ.get(name)
  if chosen is None:
    return str(index)
  devices = [word.strip() for word in chosen.split(",") if word.strip()]
  # An empty one hides all: what runs then has no such device anyway.
  if devices and index >= len(devices):
    if os.environ.get("JAX_PLATFORMS") == "cpu":
      return chosen
    raise ShareError(
      f"--processes: found {name}={chosen}, expected a device for each process"
    )
  return devices[index] if devices else chosen


def die_with_parent() -> None:
  """Makes a process of `start` end when the one that started it has ended."""
  if _PARENT not in os.environ:
    return  # A share that was started by hand.

  def watch():
    os.read(sys.stdin.fileno(), 1)  # Until the other end is closed.
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


def _follow(
  process: subprocess.Popen, failed: threading.Event, errors: list[str]
) -> None:
  """Prints what a process prints, and keeps the error that it ends with."""
  for line in process.stdout:
    if line.startswith(_ERROR):
      errors.append(line.removeprefix(_ERROR).strip())
    else:
      print(line, end="", flush=True)
  if process.wait():
    failed.set()
