"""Intervals over seeds, an analysis of variance, and the seeds they take.

Numbers in, numbers out: what they say of a claim stands in `verdicts`.
"""

import math
import statistics
from collections.abc import Sequence

# Level of an interval. Verdicts are formed twice, at n and at 2 n seeds; either
# errs in 5 % of claims where each look is at 1 - 0.0294. Reference: Pocock,
# Biometrika 64 (1977), table 1; as levels of t tests, Jennison and Turnbull,
# Group Sequential Methods (2000), section 4.4.
LEVEL = 0.9706
# Probability that a number of seeds decides: the convention. Reference: Cohen,
# Statistical Power Analysis for the Behavioral Sciences (1988), section 2.4.
POWER = 0.8


def student_interval(
  mean: float, error: float, n: int, level: float = LEVEL
) -> tuple[float, float]:
  """Returns the ends of Student's interval of a mean.

  Args:
    mean: mean of n numbers.
    error: its standard error.
    n: count of them, at least 2.
    level: probability that such an interval holds the truth.
  """
  from scipy import stats  # Takes half a second, for verdicts alone.

  half = error * float(stats.t.ppf((1 + level) / 2, n - 1))
  low, high = mean - half, mean + half
  # Equal in all seeds: the interval is a point.
  return (mean, mean) if math.isclose(low, high) else (low, high)


def num_seeds(
  deviation: float,
  difference: float,
  level: float = LEVEL,
  power: float = POWER,
) -> int:
  """Returns how many seeds tell a difference from none.

  With so many, an interval around a true difference leaves out 0, and one
  around a true 0 lies within plus and minus the difference (two one-sided
  tests), each with the probability `power`. The latter takes more: both ends
  fail with (1 - power) / 2 at most, which errs towards more seeds.

  Args:
    deviation: standard deviation over seeds.
    difference: difference that matters, above 0, in the same unit.
    level: level of the interval.
    power: probability that the number is enough, in (0, 1).

  Returns:
    The least number, at least 2.

  Reference: noncentral t: Julious, Statistics in Medicine 23 (2004) 1921.
  """
  if deviation == 0:
    return 2
  from scipy import stats  # As above.

  def decides(n: int) -> bool:
    bound = stats.t.ppf((1 + level) / 2, n - 1)
    shift = math.sqrt(n) * difference / deviation
    return stats.nct.sf(bound, n - 1, shift) >= (1 + power) / 2

  too_few, enough = 1, 2
  while not decides(enough):
    too_few, enough = enough, 2 * enough
  while enough - too_few > 1:
    middle = (too_few + enough) // 2
    too_few, enough = (too_few, middle) if decides(middle) else (middle, enough)
  return enough


def binomial_variance(accuracies: Sequence[float], images: int) -> float:
  """Returns the variance that a number of test images gives an accuracy.

  Args:
    accuracies: accuracies in [0, 1], of one kind of network.
    images: count of images that each was tested on.
  """
  return statistics.fmean(p * (1 - p) for p in accuracies) / images


def blocked_anova(rows: Sequence[Sequence[float]]) -> float:
  """Returns p of no difference between rows, the columns being blocks.

  Args:
    rows: numbers, a row a way, as many in each; at least 2 of each.
  """
  ways, blocks = len(rows), len(rows[0])
  mean = statistics.fmean(x for row in rows for x in row)
  of_rows = [statistics.fmean(row) for row in rows]
  of_columns = [statistics.fmean(column) for column in zip(*rows, strict=True)]
  between = blocks * math.fsum((m - mean) ** 2 for m in of_rows)
  rest = math.fsum(
    (rows[i][j] - of_rows[i] - of_columns[j] + mean) ** 2
    for i in range(ways)
    for j in range(blocks)
  )
  free = (ways - 1) * (blocks - 1)
  if rest == 0:
    return 1.0 if between == 0 else 0.0
  from scipy import stats  # As above.

  return float(stats.f.sf(between / (ways - 1) / (rest / free), ways - 1, free))
