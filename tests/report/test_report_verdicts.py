"""Verdicts: literal numbers, and intervals against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from sslprune_jax.report import gaps, inference, verdicts
from sslprune_jax.report.curves import Curve, Point
from sslprune_jax.report.inference import LEVEL
from sslprune_jax.report.verdicts import (
  FAILS,
  HOLDS,
  NO_DIFFERENCE,
  UNDECIDED,
)


def _seeds(*values):
  return dict(enumerate(values))


def _curve(*rounds):
  points = (
    Point(index, 0.8**index, 0.8**index, _seeds(*values))
    for index, values in rounds
  )
  return Curve("labels", "rewind", tuple(points))


@pytest.mark.parametrize(
  "judge, values, expected",
  [
    (verdicts.greater, (0.03, 0.04, 0.05), HOLDS),
    (verdicts.greater, (-0.03, -0.04, -0.05), FAILS),
    (verdicts.greater, (-0.01, 0.04, 0.05), UNDECIDED),
    # Above 0 in all seeds, and within what counts as equal.
    (verdicts.greater, (0.010, 0.011, 0.012), NO_DIFFERENCE),
    (verdicts.greater, (-0.010, -0.011, -0.012), NO_DIFFERENCE),
    (verdicts.greater, (0.017, 0.019, 0.021), HOLDS),
    (verdicts.equal, (0.001, -0.001, 0.002), HOLDS),
    (verdicts.equal, (0.05, 0.051, 0.052), FAILS),
    (verdicts.equal, (0.0, 0.03, -0.03), UNDECIDED),
    (verdicts.no_less, (0.05, 0.06, 0.07), HOLDS),
    (verdicts.no_less, (-0.05, -0.051, -0.052), FAILS),
    (verdicts.no_less, (-0.05, 0.0, 0.01), UNDECIDED),
    (verdicts.greater, (0.5,), UNDECIDED),
    (verdicts.greater, (), UNDECIDED),
    (verdicts.greater, (0.1, 0.1, 0.1), HOLDS),
  ],
)
def test_a_claim_holds_does_not_or_is_undecided(judge, values, expected):
  assert judge("claim", _seeds(*values)).verdict == expected


def test_shares_are_judged_against_a_bound():
  half = _seeds(0.60, 0.62, 0.61)
  assert verdicts.greater("claim", half, 0.5).verdict == HOLDS
  assert verdicts.greater("claim", half, 0.7).verdict == FAILS
  assert verdicts.less("claim", half, 0.05).verdict == FAILS
  assert verdicts.less("claim", half, 0.9).verdict == HOLDS
  near = _seeds(0.491, 0.50, 0.509)
  assert verdicts.greater("claim", near, 0.51).verdict == UNDECIDED
  near = _seeds(0.499, 0.50, 0.501)
  assert verdicts.greater("claim", near, 0.51).verdict == NO_DIFFERENCE
  assert verdicts.less("claim", near, 0.49).verdict == NO_DIFFERENCE


def test_what_is_undecided_says_how_many_seeds_would_decide_it():
  found = verdicts.greater("claim", _seeds(-0.01, 0.01, 0.03))
  assert found.verdict == UNDECIDED and found.deviation == pytest.approx(0.02)
  assert found.seeds == inference.num_seeds(0.02, 0.02)
  assert verdicts.greater("claim", _seeds(0.20, 0.21, 0.22)).seeds is None
  assert verdicts.greater("claim", _seeds(0.1)).seeds is None
  assert verdicts.greater("claim", {}).seeds is None


def test_test_images_take_their_part_of_the_deviation():
  def curve(*rounds):
    points = (
      Point(index, 1.0, 1.0, _seeds(*values), tested=100)
      for index, values in rounds
    )
    return Curve("labels", "rewind", tuple(points))

  a = curve((0, (0.9, 0.9)), (3, (0.8, 0.8)), (6, (0.5, 0.5)))
  b = curve((3, (0.9, 0.9)), (6, (0.7, 0.7)))
  # p (1 - p) / 100 of four networks, of a mean over two rounds.
  one = (0.16 + 0.25 + 0.09 + 0.21) / 100 / 4
  gap = gaps.difference(a, b)
  assert gap.images == pytest.approx(one)
  assert gaps.minus(gap, gap).images == pytest.approx(2 * one)
  assert gaps.change(a, 3).images == pytest.approx((0.09 + 0.16) / 100)
  assert verdicts.equal("claim", gap).images == pytest.approx(one**0.5)
  unknown = _curve((3, (0.8, 0.7)))
  assert gaps.difference(unknown, b).images is None
  assert gaps.minus(gap, _seeds(0.1, 0.2)).images is None


def test_the_interval_is_students():
  values = np.array([0.01, 0.03, 0.02, 0.05])
  found = verdicts.greater("claim", _seeds(*values))
  expected = stats.ttest_1samp(values, 0).confidence_interval(LEVEL)
  np.testing.assert_allclose([found.low, found.high], expected)
  assert found.found.n == 4


def test_differences_are_taken_within_a_seed_over_the_pruned_rounds():
  a = _curve((0, (0.9, 0.9)), (3, (0.8, 0.7)), (6, (0.6, 0.5)))
  b = _curve((0, (0.1, 0.1)), (3, (0.7, 0.7)), (6, (0.2, 0.4)))
  assert gaps.difference(a, b) == pytest.approx({0: 0.25, 1: 0.05})
  assert gaps.difference(a, b, [6]) == pytest.approx({0: 0.4, 1: 0.1})
  assert gaps.change(a, 6) == pytest.approx({0: -0.3, 1: -0.4})


def test_a_seed_without_all_rounds_is_left_out():
  a = _curve((3, (0.8, 0.7)), (6, (0.6,)))
  assert gaps.difference(a, a) == {0: 0.0}


def test_ways_differ_where_an_analysis_of_variance_says_so():
  rng = np.random.default_rng(0)
  noise = rng.normal(size=(3, 5)) * 0.01
  blocks = rng.normal(size=5)

  def groups(*offsets):
    return {
      str(i): _seeds(*(noise[i] + blocks + offset))
      for i, offset in enumerate(offsets)
    }

  assert verdicts.differ("claim", groups(0, 0.1, 0.2)).verdict == HOLDS
  assert verdicts.differ("claim", groups(0, 0, 0)).verdict == UNDECIDED
  assert verdicts.differ("claim", groups(0, 0, 0)).seeds > 5
  noise /= 10
  assert verdicts.differ("claim", groups(0, 0.01, 0)).verdict == NO_DIFFERENCE
  noise *= 10
  # Two ways: the paired t test.
  rows = noise[:2]
  found = verdicts.differ(
    "claim", {"a": _seeds(*rows[0]), "b": _seeds(*rows[1])}
  )
  p = stats.ttest_rel(*rows).pvalue
  assert found.test.endswith(f"= {p:.2g}")
