"""What goes together in a network: indices of axes, tied or frozen.

Every axis of every value carries labels, one an index: above 0 an atom, that is
an index of an axis of a parameter or of a broadcast; 0 or below what never goes
(images, places, classes). A label below 0 says by its number why.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Labels = np.ndarray  # i64[n], of an axis of n
Axes = list[Labels]  # of a value, one an axis

FIXED = 0
_NEVER = "images, places and classes stay"


def stays(shape: Sequence[int]) -> Axes:
  """Returns the labels of a value of which nothing ever goes."""
  return [np.zeros(n, int) for n in shape]


class Ties:
  """Atoms, what ties them, and what froze them.

  Attributes:
    grouped: labels of the output axis of each kernel of a convolution whose
      groups are its inputs: a depthwise one.
  """

  def __init__(self):
    self.grouped: list[Labels] = []
    self._count, self._reasons = 1, {_NEVER: FIXED}
    self._edges = [np.zeros((2, 0), int)]
    self._frozen = [np.zeros((2, 0), int)]  # Atoms, and their reasons.

  def fresh(self, n: int) -> Labels:
    """Returns n new atoms."""
    self._count += n
    return np.arange(self._count - n, self._count)

  def axis(self, n: int) -> Labels:
    """Returns new atoms for an axis of n; an axis of 1 is never cut."""
    return self.fresh(n) if n > 1 else np.zeros(1, int)

  def because(self, why: str) -> int:
    """Returns the label, at most 0, that says why something never goes."""
    return self._reasons.setdefault(why, -len(self._reasons))

  def freeze(self, labels: Labels, why: str | Labels) -> None:
    """Keeps atoms for ever.

    Args:
      labels: i[n], of any kind; atoms among them freeze.
      why: reason in words, or labels i[n] that say it.
    """
    reason = self.because(why) if isinstance(why, str) else why
    pairs = np.stack([labels, np.broadcast_to(reason, labels.shape)])
    self._frozen.append(pairs[:, labels > FIXED])

  def tie(self, a: Labels, b: Labels, why: str) -> Labels:
    """Ties two axes index by index.

    Args:
      a: i[n].
      b: i[n].
      why: reason for which an atom freezes that meets what never goes, unless
        that knows a reason itself.

    Returns:
      i[n]: labels of what comes out, fixed where either is.
    """
    lives, others = a > FIXED, b > FIXED
    self._edges.append(np.stack([a, b])[:, lives & others])
    reason = self.because(why)
    for live, other in ((a, b), (b, a)):
      meets = (live > FIXED) & (other <= FIXED)
      self.freeze(
        live[meets], np.where(other[meets] < FIXED, other[meets], reason)
      )
    knows = (b == FIXED) & (a < FIXED)
    return np.where(others | knows, a, b)

  def refuse(
    self, read: list[Axes], why: str, results: Sequence[Any]
  ) -> list[Axes]:
    """Freezes all that an equation reads; what it gives remembers why.

    Args:
      read: labels of the operands.
      why: reason in words.
      results: variables that have the shapes of what it gives.
    """
    axes = [axis for axes in read for axis in axes]
    for axis in axes:
      self.freeze(axis, why)
    # What is made of images alone needs no reason.
    label = self.because(why) if any(a.any() for a in axes) else FIXED
    return [
      [np.full(n, label if n > 1 else FIXED) for n in result.aval.shape]
      for result in results
    ]

  def components(self) -> tuple[np.ndarray, np.ndarray]:
    """Returns which channel each atom is of, and where channels are met first.

    Returns:
      i[A], for each atom the least of those that it is tied to; and i[A], for
      each of these the place of its first tie, which are made in forward order;
      -1 for what is tied to nothing, and what is frozen.
    """
    a, b = edges = np.concatenate(self._edges, 1)
    channel, before = np.arange(self._count), None
    while not np.array_equal(channel, before):
      before = channel.copy()
      least = np.minimum(before[a], before[b])
      np.minimum.at(channel, before[a], least)
      np.minimum.at(channel, before[b], least)
      while not np.array_equal(channel, channel[channel]):
        channel = channel[channel]
    first = np.full(self._count, -1)
    found, place = np.unique(channel[edges.T.reshape(-1)], return_index=True)
    first[found] = place
    first[channel[np.concatenate(self._frozen, 1)[0]]] = -1
    return channel, first

  def reasons(self, channel: np.ndarray) -> dict[int, str]:
    """Returns why channels are frozen.

    Args:
      channel: i[A], from `components`.

    Returns:
      Channel -> reason, of those that are.
    """
    atoms, reasons = np.concatenate(self._frozen, 1)
    words = {label: why for why, label in self._reasons.items()}
    # Reversed: the reason that came first is said.
    pairs = zip(channel[atoms][::-1], reasons[::-1], strict=True)
    return {int(c): words[int(reason)] for c, reason in pairs}
