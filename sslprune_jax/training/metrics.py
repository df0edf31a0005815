"""Metrics of a training as lines of JSON; TensorBoard's, if it is there."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from absl import logging
from etils import epath

from sslprune_jax.runtime import files, json_files, processes
from sslprune_jax.runtime.errors import LostFileError

try:
  import tensorboardX
except ImportError:  # The extra `tensorboard` is not installed.
  tensorboardX = None


class MetricLines:
  """The metrics of one training: means over every few updates, as JSON lines.

  Args:
    path: `metrics.jsonl`; lines of an earlier, killed run that lie after the
      update that this one goes on from are dropped.
    every: updates a line.
    updates_per_epoch: updates of an epoch, for the line's `epoch`.
    start: update that the training goes on from.
  """

  def __init__(
    self, path: epath.Path, *, every: int, updates_per_epoch: int, start: int
  ):
    self._every, self._updates_per_epoch = every, updates_per_epoch
    self._sums: dict[str, float] = {}
    self._count, self._last = 0, start
    self._began = time.monotonic()
    self._board = None
    if not processes.is_first():
      self._file = open(os.devnull, "w")
      return
    path.parent.mkdir(parents=True, exist_ok=True)
    self._file = path.open("w") if not path.exists() else _reopen(path, start)
    if tensorboardX:
      self._board = tensorboardX.SummaryWriter(
        str(path.parent), purge_step=start
      )

  def add(self, update: int, metrics: Mapping[str, float]) -> None:
    """Takes the metrics of an update."""
    for name, value in metrics.items():
      self._sums[name] = self._sums.get(name, 0.0) + value
    self._count, self._last = self._count + 1, update
    if update % self._every == 0:
      self._write()

  def event(self, update: int, name: str, metrics: Mapping[str, float]) -> None:
    """Writes what was measured once, between two updates.

    A training that goes on from this update measures it again.
    """
    self._print(update, {"event": name}, metrics, {})

  def close(self) -> None:
    """Writes what is left, and closes the files."""
    if self._count:
      self._write()
    self._file.close()
    if self._board:
      self._board.close()

  def _write(self) -> None:
    means = {k: v / self._count for k, v in self._sums.items()}
    seconds = {"seconds": round(time.monotonic() - self._began, 3)}
    self._print(self._last, {}, means, seconds)
    self._sums, self._count = {}, 0

  def _print(self, update, kind, values, more) -> None:
    epoch = {"epoch": update / self._updates_per_epoch}
    line = {"update": update, **epoch, **kind, **values, **more}
    self._file.write(json.dumps(line) + "\n")
    self._file.flush()
    if self._board:
      for name, value in values.items():
        self._board.add_scalar(name, value, update)


def _reopen(path: epath.Path, start: int):
  """Reopens a file of lines with what update `start` leads to dropped.

  Nor is kept what follows a damaged line: of the last one, in the middle of
  which the run before was killed, nothing is said.
  """
  kept = []
  content = json_files.read_bytes(path)
  lines = content.splitlines(keepends=True)
  for number, line in enumerate(lines, start=1):
    where = f"{path}, line {number}"
    try:
      read = json_files.parse(line, where, dict)
      update = _update_of(read, where)
    except LostFileError as error:
      if number < len(lines) or line.endswith(b"\n"):
        logging.warning("%s; the lines from there on are dropped", error)
      break
    # Events at `start` are measured again.
    if update > start or (update == start and "event" in read):
      break
    kept.append(line.rstrip(b"\r\n").decode() + "\n")
  if files.in_bucket(path):  # To which nothing can be added.
    file = path.open("w")
    file.writelines(kept)
    return file
  # Whole at any moment: it may take minutes until a line follows.
  files.write(path, "".join(kept).encode())
  return path.open("a")


def _update_of(line: dict[str, Any], where: str) -> int:
  update = line.get("update")
  if not isinstance(update, int):
    raise LostFileError(
      f"{where}: damaged: update: found {update!r}, expected a whole number"
    )
  return update
