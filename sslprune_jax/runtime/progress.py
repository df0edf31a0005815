"""Progress on the terminal: one bar, and a line for each stage."""

import time
from collections.abc import Mapping

import tqdm

from sslprune_jax.runtime import processes


class Progress:
  """One bar over a whole study, with the time left.

  Counted in images that a network is trained on, since an update of RotNet
  costs four of labels. It is made before what it counts, and shown by `start`.
  """

  def start(self, images: int) -> None:
    """Shows the bar.

    Args:
      images: number of images of the whole study.
    """
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
