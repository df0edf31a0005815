"""Statements -> verdicts: holds, does not hold, or neither, by a named test.

A difference is taken within a seed and averaged over rounds; over seeds it has
an interval by Student's t. Nothing is corrected for the number of claims.
"""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

from sslprune_jax.report import inference
from sslprune_jax.report.curves import Estimate, estimate
from sslprune_jax.report.gaps import BySeed, minus
from sslprune_jax.report.inference import LEVEL

# What counts as equal: 2 percentage points (ours; the paper compares by eye).
MARGIN = 0.02
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NO_DIFFERENCE = f"no difference over {100 * MARGIN:g} points"
WITHHELD = "not judged"


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What the numbers say of a claim.

  Attributes:
    claim: statement, in words.
    test: test that decided, or why none was made, in words.
    found: number that was tested; None where there is none.
    low: lower end of its interval; None where n is 1.
    high: upper end.
    verdict: `HOLDS`, `FAILS`, `NO_DIFFERENCE`, `UNDECIDED` or `WITHHELD`.
    deviation: standard deviation over seeds; None where n is 1.
    images: part of it that the test images give, see `Gaps`; None where it is
      not known.
    likelihood: the same number of mean log-likelihoods in place of accuracies,
      in nats, which says more where accuracies saturate; None where it is not
      known. Nothing is decided by it.
  """

  claim: str
  test: str
  found: Estimate | None
  low: float | None
  high: float | None
  verdict: str
  deviation: float | None = None
  images: float | None = None
  likelihood: Estimate | None = None

  @property
  def seeds(self) -> int | None:
    """The number of seeds that would decide `MARGIN`, of what is undecided."""
    if self.verdict != UNDECIDED or self.deviation is None:
      return None
    return inference.num_seeds(self.deviation, MARGIN)


def greater(claim: str, values: BySeed, than: float = 0.0) -> Verdict:
  """Judges that a number is above another one.

  Args:
    claim: statement, in words.
    values: seed -> number.
    than: number that it is held against.

  Returns:
    There is no difference where the interval lies within `MARGIN` of the
    other, so that what is `equal` is never also greater. Else it holds where
    the interval lies above, does not where it lies below.
  """
  bound = f"{100 * than:g}" + (" points" if than == 0 else " %")
  test = f"t interval over seeds above {bound}"

  def verdict(low, high):
    if _within(low - than, high - than):
      return NO_DIFFERENCE
    return HOLDS if low > than else FAILS if high < than else UNDECIDED

  return _judge(claim, test, values, verdict)


def less(claim: str, values: BySeed, than: float) -> Verdict:
  """Judges that a number is below another one.

  Args:
    claim: statement, in words.
    values: seed -> number.
    than: number that it is held against.

  Returns:
    As of `greater`, the other way round.
  """
  test = f"t interval over seeds below {100 * than:g} %"

  def verdict(low, high):
    if _within(low - than, high - than):
      return NO_DIFFERENCE
    return HOLDS if high < than else FAILS if low > than else UNDECIDED

  return _judge(claim, test, values, verdict)


def equal(claim: str, values: BySeed) -> Verdict:
  """Judges that a difference is none, up to `MARGIN`.

  Args:
    claim: statement, in words.
    values: seed -> difference.

  Returns:
    It holds where the interval lies within the margin, does not where it lies
    outside.
  """
  test = f"t interval over seeds within ±{100 * MARGIN:g} points"

  def verdict(low, high):
    if _within(low, high):
      return HOLDS
    return FAILS if low > MARGIN or high < -MARGIN else UNDECIDED

  return _judge(claim, test, values, verdict)


def no_less(claim: str, values: BySeed) -> Verdict:
  """Judges that a difference is no loss, up to `MARGIN`.

  Args:
    claim: statement, in words.
    values: seed -> difference.

  Returns:
    It holds where the interval lies above minus the margin, does not where it
    lies below.
  """
  test = f"t interval over seeds above −{100 * MARGIN:g} points"

  def verdict(low, high):
    return HOLDS if low > -MARGIN else FAILS if high < -MARGIN else UNDECIDED

  return _judge(claim, test, values, verdict)


def differ(claim: str, groups: Mapping[str, BySeed]) -> Verdict:
  """Judges that several ways are not all alike, each seed a block.

  Args:
    claim: statement, in words.
    groups: way -> seed -> number.

  Returns:
    There is no difference where the interval of each pair lies within the
    margin. Else it holds where an analysis of variance finds p < 1 - `LEVEL`.
    `found` is the distance of the best mean from the worst, `deviation` that
    of the pair that deviates most.
  """
  every = [set(way) for way in groups.values()] or [set()]
  seeds = sorted(set.intersection(*every))
  test = "analysis of variance, seeds as blocks: p "
  if len(seeds) < 2 or len(groups) < 2:
    return Verdict(claim, test + "needs two seeds", None, None, None, UNDECIDED)
  rows = [[way[seed] for seed in seeds] for way in groups.values()]
  pairs = [
    equal("", minus(a, b))
    for a, b in itertools.combinations(groups.values(), 2)
  ]
  p = inference.blocked_anova(rows)
  verdict = HOLDS if p < 1 - LEVEL else UNDECIDED
  if all(pair.verdict == HOLDS for pair in pairs):
    verdict = NO_DIFFERENCE
  most = max(pairs, key=lambda pair: pair.deviation)
  best, worst = (end(rows, key=statistics.fmean) for end in (max, min))
  spread = estimate(a - b for a, b in zip(best, worst, strict=True))
  test = f"{test}= {p:.2g}"
  return Verdict(
    claim, test, spread, None, None, verdict, most.deviation, most.images
  )


def unless(reason: str, judged: Sequence[Verdict]) -> list[Verdict]:
  """Withholds verdicts where there is a reason to.

  Args:
    reason: why the numbers say nothing, in words; "" where they do.
    judged: verdicts.

  Returns:
    The verdicts, or the same claims, not judged, with the reason.
  """
  if not reason:
    return list(judged)
  return [Verdict(v.claim, reason, None, None, None, WITHHELD) for v in judged]


def _within(low: float, high: float) -> bool:
  return low > -MARGIN and high < MARGIN


def _judge(claim, test, values, verdict) -> Verdict:
  if not values:
    return Verdict(claim, "no results yet", None, None, None, UNDECIDED)
  found = estimate(values.values())
  if found.error is None:
    return Verdict(claim, f"{test}: one seed", found, None, None, UNDECIDED)
  low, high = inference.student_interval(found.mean, found.error, found.n)
  images = getattr(values, "images", None)
  return Verdict(
    claim,
    test,
    found,
    low,
    high,
    verdict(low, high),
    found.error * math.sqrt(found.n),
    None if images is None else math.sqrt(images),
  )
