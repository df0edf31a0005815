"""Progress on the terminal, metrics as lines of JSON, TensorBoard if there."""

import json
import os
import time
from collections.abc import Mapping

import tqdm
from etils import epath

from sslprune_jax.runtime import processes

try:
  import tensorboardX
except ImportError:  # The extra `tensorboard` is not installed.
  tensorboardX = None


class Progress:
  """One bar over a whole study, with the time left.

  Counted in images that a network is trained on, since an update of RotNet
  costs four of labels.

  Args:
    images: of the whole study.
  """

  def __init__(self, images: int):
    self._left, self._done = images, 0
    self._start = time.monotonic()
    self._bar = tqdm.tqdm(
      total=images,
      unit="image",
      unit_scale=True,
      smoothing=0.05,
      dynamic_ncols=True,
      # Shown on a terminal only; a log gets `say` alone.
      disable=None if processes.is_first() else True,
    )

  def skip(self, images: int) -> None:
    """Takes images that an earlier run has trained on out of the total."""
    self._left -= images
    self._bar.total -= images
    self._bar.refresh()

  def advance(self, images: int, metrics: Mapping[str, float]) -> None:
    """Counts images, and shows the metrics behind the bar."""
    self._left -= images
    self._done += images
    shown = {"loss": "loss", "accuracy": "accuracy", "learning_rate": "rate"}
    self._bar.set_postfix(
      {shown[k]: f"{v:.4g}" for k, v in metrics.items() if k in shown},
      refresh=False,
    )
    self._bar.update(images)

  def title(self, text: str) -> None:
    """Names the stage in front of the bar."""
    self._bar.set_description(text, refresh=False)

  def say(self, text: str) -> None:
    """Prints a line above the bar, with the share done and the time left."""
    if not processes.is_first():
      return
    elapsed = time.monotonic() - self._start
    total = self._done + self._left
    share = self._done / total if total else 1.0
    left = (
      "" if not self._done else f", {clock(elapsed / share - elapsed)} left"
    )
    tqdm.tqdm.write(f"[{share:4.0%}{left}] {text}")

  def close(self) -> None:
    """Ends the bar."""
    self._bar.close()


def clock(seconds: float) -> str:
  """Returns seconds as people say them: `2 h 03 min`, `4 min 05 s`, `7 s`."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f"{hours} h {minutes:02d} min"
  return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


class MetricLines:
  """The metrics of one training: means over every few updates, as JSON lines.

  Args:
    path: `metrics.jsonl`; lines of an earlier, killed run that lie after the
      update that this one goes on from are dropped.
    every: updates a line.
    updates_per_epoch: for the line's `epoch`.
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
    self._file = path.open("w") if not path.exists() else _reopened(path, start)
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


def _reopened(path: epath.Path, start: int):
  """Reopens a file of lines with what update `start` leads to dropped."""
  kept = []
  for line in path.read_text().splitlines():
    try:
      read = json.loads(line)
      # Events at `start` are measured again.
      if read["update"] > start or (
        read["update"] == start and "event" in read
      ):
        break
    except (ValueError, KeyError):  # Killed in the middle of a line.
      break
    kept.append(line + "\n")
  file = path.open("w")
  file.writelines(kept)
  return file
