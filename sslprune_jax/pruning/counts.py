"""How many weights remain, in exact arithmetic."""

from fractions import Fraction


def remaining_after(remaining: int, rate: float) -> int:
  """Returns how many weights remain when a rate of them is pruned.

  Exact integer arithmetic, rounded half up: float32 is off by one near 20
  million weights. The rate is read as the decimal that it prints as, so 0.2 is
  one fifth.

  Args:
    remaining: number of weights that remain before.
    rate: share of these to prune, in (0, 1).

  Returns:
    The number that remains after.
  """
  return share_of(remaining, 1 - Fraction(str(rate)))


def share_of(count: int, share: float | Fraction) -> int:
  """Returns a share of a number of weights, exact and rounded half up.

  Args:
    count: number of weights.
    share: share of them, in [0, 1], read as the decimal that it prints as.
  """
  kept = count * Fraction(str(share))
  return (2 * kept.numerator + kept.denominator) // (2 * kept.denominator)
