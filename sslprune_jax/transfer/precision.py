"""Average precision, as Pascal VOC's later years count it."""

from collections.abc import Sequence

import chex
import numpy as np


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
  """Returns the area under the precision made monotone, over recall.

  Images of one score are ranked together: their order cannot help.

  Args:
    scores: f[N], higher for a class that is there.
    truth: int[N]: 1 there, 0 not, -1 not counted (difficult objects only).

  Returns:
    The average precision, in [0, 1].

  Raises:
    ValueError: the class is in no image that counts, or a score is no number.

  Reference: VOC2010 development kit, section 3.4.1; Goyal et al. 2019.
  """
  chex.assert_rank([scores, truth], 1, custom_message="scores, truth")
  chex.assert_equal_shape([scores, truth])
  counted = truth >= 0
  scores, there = scores[counted], truth[counted] == 1
  if not there.any():
    raise ValueError(
      f"found no image with it among {len(there)}, expected at least one"
    )
  if not np.isfinite(scores).all():
    raise ValueError("found a score that is not finite")
  order = np.argsort(-scores, kind="stable")
  hits = np.cumsum(there[order])
  # Where the score changes, everything up to there is retrieved.
  last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
  precision = hits[last] / (last + 1)
  recall = hits[last] / hits[-1]
  # The best precision at this recall or a higher one.
  precision = np.maximum.accumulate(precision[::-1])[::-1]
  return float(np.sum(np.diff(recall, prepend=0) * precision))


def of_classes(
  scores: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, float]:
  """Returns the average precision of every class, by name.

  Args:
    scores: f[N,K].
    labels: int[N,K] of 1, 0 and -1.
    class_names: names of the K classes.

  Raises:
    ValueError: names the class that cannot be judged.
  """
  chex.assert_rank([scores, labels], 2, custom_message="scores, labels")
  chex.assert_equal_shape([scores, labels])
  found = {}
  for i, name in enumerate(class_names):
    try:
      found[name] = average_precision(scores[:, i], labels[:, i])
    except ValueError as error:
      raise ValueError(f"class {name}, test images: {error}") from None
  return found
