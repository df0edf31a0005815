"""Networks timed by turns, each in a process of its own.

What else a machine does falls upon all of them alike, so that their ratios hold
where single times do not.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

from sslprune_jax.exchange import engines
from sslprune_jax.runtime.errors import UserError

_TURNS, _SECONDS = 5, 0.3  # turns of each network, and time of one, at least


class TimingError(UserError, RuntimeError):
  """A network could not be timed."""


@dataclasses.dataclass(frozen=True)
class Side:
  """What is timed.

  Attributes:
    engine: name of `engines.ENGINES`.
    file: file of an export that this engine reads.
    threads: threads, on a CPU.
  """

  engine: str
  file: pathlib.Path
  threads: int


@dataclasses.dataclass(frozen=True)
class Times:
  """How long a batch takes.

  Attributes:
    seconds: median over calls.
    lower: first quartile.
    upper: third quartile.
    processor_seconds: processor time of a call, the mean.
    memory: most bytes that its process held, or those of its device; None where
      the system does not tell.
    device: what it ran on, and the engine's version.
  """

  seconds: float
  lower: float
  upper: float
  processor_seconds: float
  memory: int | None
  device: str


def take_turns(
  sides: Sequence[Side], batches: Iterable[int]
) -> dict[int, list[Times]]:
  """Times networks by turns.

  Args:
    sides: networks.
    batches: images a call.

  Returns:
    Batch -> what was measured, in the order of `sides`.

  Raises:
    TimingError: a process ended without an answer.
  """
  found = {}
  with contextlib.ExitStack() as stack:
    workers = [stack.enter_context(_Worker(side)) for side in sides]
    # Upwards: a peak of memory is of the largest batch so far.
    for batch in sorted(set(batches)):
      asked: list[list[dict[str, Any]]] = [[] for _ in workers]
      for turn in range(_TURNS):
        for worker, answers in zip(workers, asked, strict=True):
          answers.append(worker.ask(batch, _SECONDS))
          if turn == 0:
            worker.forget_peak()  # That of compiling.
      found[batch] = [
        _sum_up(answers, worker)
        for worker, answers in zip(workers, asked, strict=True)
      ]
  return found


def _sum_up(answers: Sequence[dict[str, Any]], worker: "_Worker") -> Times:
  calls = [second for answer in answers for second in answer["seconds"]]
  lower, median, upper = statistics.quantiles(calls, n=4, method="inclusive")
  processor = sum(answer["processor_seconds"] for answer in answers)
  return Times(
    median,
    lower,
    upper,
    processor / len(calls),
    worker.read_peak(),
    worker.device,
  )


class _Worker:
  """The process of a network; on a GPU or a TPU it is there for a turn alone.

  There one process holds the device, or most of its memory.
  """

  def __init__(self, side: Side):
    self._side, self._process = side, None
    self._errors = tempfile.TemporaryFile()
    self._is_alone, self._peak = False, None
    self.device = ""

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self._stop()
    self._errors.close()

  def ask(self, batch: int, seconds: float) -> dict[str, Any]:
    """Returns the answer of `engines` to a turn."""
    if self._process is None:
      self._start()
    turn = {"batch": batch, "seconds": seconds}
    # A process that has ended reads nothing, and answers nothing.
    with contextlib.suppress(BrokenPipeError):
      print(json.dumps(turn), file=self._process.stdin, flush=True)
    answer = self._read()
    self._peak = answer.get("peak_memory")
    if self._is_alone:
      self._stop()
    return answer

  def forget_peak(self) -> None:
    """Lets the peak of memory begin anew, where the system can."""
    if self._process:
      with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/{self._process.pid}/clear_refs").write_text("5\n")

  def read_peak(self) -> int | None:
    """Returns the peak of memory in bytes: of the device, if it has its own."""
    path = pathlib.Path(f"/proc/{self._process and self._process.pid}/status")
    if self._peak is not None or not path.exists():
      return self._peak
    found = re.search(r"VmHWM:\s+(\d+) kB", path.read_text())
    return 1024 * int(found[1]) if found else None

  def _start(self) -> None:
    side = self._side
    self._process = subprocess.Popen(
      [sys.executable, "-m", engines.__name__]
      + [side.engine, str(side.file), str(side.threads)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
    )
    about = self._read()
    self.device, self._is_alone = about["device"], about["is_alone"]

  def _read(self) -> dict[str, Any]:
    line = self._process.stdout.readline()
    if line:
      return json.loads(line)
    self._errors.seek(0)
    said = self._errors.read().decode(errors="replace").strip()
    reason = said.splitlines()[-1] if said else "without a word"
    raise TimingError(
      f"{self._side.file.name}: its process ended with status "
      f"{self._process.wait()} ({reason}), expected an answer"
    )

  def _stop(self) -> None:
    if self._process:
      with contextlib.suppress(BrokenPipeError):  # A turn it never read.
        self._process.stdin.close()
      self._process.stdout.close()
      self._process.wait()
      self._process = None
