"""Statements -> verdicts: holds, does not hold, or undecided, by a named test.

A difference is taken within a seed and averaged over rounds; over seeds it has
a 95 % interval by Student's t. Nothing is corrected for the number of tests.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from sslprune_jax.report.curves import Curve, Estimate, estimate

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
WITHHELD = "not judged"
# What counts as equal: 2 percentage points (ours; the paper compares by eye).
MARGIN = 0.02
LEVEL = 0.95

BySeed = Mapping[int, float]


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What the numbers say of a claim.

  Attributes:
    claim: statement, in words.
    test: test that decided, or why none was made, in words.
    found: number that was tested; None where there is none.
    low: lower end of its 95 % interval; None where n is 1.
    high: upper end.
    verdict: `HOLDS`, `FAILS`, `UNDECIDED` or `WITHHELD`.
  """

  claim: str
  test: str
  found: Estimate | None
  low: float | None
  high: float | None
  verdict: str


def greater(claim: str, values: BySeed, than: float = 0.0) -> Verdict:
  """Judges that a number is above another one.

  Args:
    claim: statement, in words.
    values: seed -> number.
    than: number that it is held against.

  Returns:
    It holds where the interval lies above, does not where it lies below.
  """
  bound = f"{100 * than:g}" + (" points" if than == 0 else " %")
  test = f"t interval over seeds above {bound}"

  def verdict(low, high):
    return HOLDS if low > than else FAILS if high < than else UNDECIDED

  return _judge(claim, test, values, verdict)


def less(claim: str, values: BySeed, than: float) -> Verdict:
  """Judges that a number is below another one.

  Args:
    claim: statement, in words.
    values: seed -> number.
    than: number that it is held against.

  Returns:
    It holds where the interval lies below, does not where it lies above.
  """
  test = f"t interval over seeds below {100 * than:g} %"

  def verdict(low, high):
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
    if low > -MARGIN and high < MARGIN:
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
    It holds where an analysis of variance finds p < 0.05. `found` is the
    distance of the best mean from the worst.
  """
  seeds = sorted(set.intersection(*(set(way) for way in groups.values())))
  rows = [[way[seed] for seed in seeds] for way in groups.values()]
  means = [statistics.fmean(row) for row in rows]
  test = "analysis of variance, seeds as blocks: p "
  if len(seeds) < 2 or len(rows) < 2:
    return Verdict(claim, test + "needs two seeds", None, None, None, UNDECIDED)
  best, worst = (
    rows[means.index(extreme)] for extreme in (max(means), min(means))
  )
  spread = estimate(a - b for a, b in zip(best, worst, strict=True))
  p = _blocked_anova(rows)
  verdict = HOLDS if p < 1 - LEVEL else UNDECIDED
  return Verdict(claim, f"{test}= {p:.2g}", spread, None, None, verdict)


def _blocked_anova(rows: Sequence[Sequence[float]]) -> float:
  """Returns p of no difference between rows, the columns being blocks."""
  ways, blocks = len(rows), len(rows[0])
  mean = statistics.fmean(x for row in rows for x in row)
  of_rows = [statistics.fmean(row) for row in rows]
  of_columns = [statistics.fmean(column) for column in zip(*rows, strict=True)]
  between = blocks * sum((m - mean) ** 2 for m in of_rows)
  rest = sum(
    (rows[i][j] - of_rows[i] - of_columns[j] + mean) ** 2
    for i in range(ways)
    for j in range(blocks)
  )
  free = (ways - 1) * (blocks - 1)
  if rest == 0:
    return 1.0 if between == 0 else 0.0
  from scipy import stats  # Takes half a second, for verdicts alone.

  return float(stats.f.sf(between / (ways - 1) / (rest / free), ways - 1, free))


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


def difference(
  a: Curve, b: Curve, rounds: Sequence[int] | None = None
) -> dict[int, float]:
  """Returns a - b of each seed that both have, averaged over rounds.

  Args:
    a: curve with a value a seed at each point.
    b: curve that it is held against.
    rounds: rounds to average over, by default all that both have but the
      dense one.
  """
  shared = [p.round for p in a.points if b.at(p.round)]
  shared = [i for i in shared if (i > 0 if rounds is None else i in rounds)]
  found: dict[int, list[float]] = {}
  for index in shared:
    ours, theirs = a.at(index).values, b.at(index).values
    for seed in ours.keys() & theirs.keys():
      found.setdefault(seed, []).append(ours[seed] - theirs[seed])
  # A seed that lacks a round would weigh the others in its own way.
  whole = {s: gaps for s, gaps in found.items() if len(gaps) == len(shared)}
  return {seed: statistics.fmean(gaps) for seed, gaps in sorted(whole.items())}


def change(curve: Curve, index: int, since: int = 0) -> dict[int, float]:
  """Returns by how much each seed changes from one round to another."""
  late, early = curve.at(index), curve.at(since)
  if not late or not early:
    return {}
  seeds = late.values.keys() & early.values.keys()
  return {seed: late.values[seed] - early.values[seed] for seed in seeds}


def minus(a: BySeed, b: BySeed) -> dict[int, float]:
  """Returns a - b of each seed that both have."""
  return {seed: a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())}


def _judge(claim, test, values, verdict) -> Verdict:
  if not values:
    return Verdict(claim, "no results yet", None, None, None, UNDECIDED)
  found = estimate(values.values())
  if found.error is None:
    return Verdict(claim, f"{test}: one seed", found, None, None, UNDECIDED)
  from scipy import stats  # As above.

  half = found.error * stats.t.ppf((1 + LEVEL) / 2, found.n - 1)
  low, high = found.mean - float(half), found.mean + float(half)
  if math.isclose(low, high):  # Equal in all seeds: the interval is a point.
    low = high = found.mean
  return Verdict(claim, test, found, low, high, verdict(low, high))
