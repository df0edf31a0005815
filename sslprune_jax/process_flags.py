"""The flags by which processes run a command together."""

import re
import sys

from absl import flags

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


def are_given() -> bool:
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
    part("process", _PROCESS.value)
  return _COORDINATOR.value is not None


def join() -> None:
  """Joins the other processes, if there are any, and watches for SIGTERM.

  Raises:
    ProcessError: see `processes.start`.
  """
  # Imported here, so that --help and a mistyped flag answer at once.
  from sslprune_jax import preemption, processes

  if _COORDINATOR.value == "auto":
    processes.start("auto")
  elif _COORDINATOR.value:
    processes.start(_COORDINATOR.value, *part("process", _PROCESS.value))
  preemption.watch()


def part(flag: str, value: str) -> tuple[int, int]:
  """Returns (i, n) of a flag i/n, the i-th of n from 0."""
  match = re.fullmatch(r"(\d+)/(\d+)", value)
  if not match or int(match[1]) >= int(match[2]):
    sys.exit(f"error: --{flag}: found {value!r}, expected such as 0/2 or 1/2")
  return int(match[1]), int(match[2])
