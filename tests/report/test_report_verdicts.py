"""Verdicts: literal numbers, and intervals against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from sslprune_jax.report import verdicts
from sslprune_jax.report.curves import Curve, Point
from sslprune_jax.report.verdicts import FAILS, HOLDS, UNDECIDED


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


def test_the_interval_is_students():
  values = np.array([0.01, 0.03, 0.02, 0.05])
  found = verdicts.greater("claim", _seeds(*values))
  expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
  np.testing.assert_allclose([found.low, found.high], expected)
  assert found.found.n == 4


def test_differences_are_taken_within_a_seed_over_the_pruned_rounds():
  a = _curve((0, (0.9, 0.9)), (3, (0.8, 0.7)), (6, (0.6, 0.5)))
  b = _curve((0, (0.1, 0.1)), (3, (0.7, 0.7)), (6, (0.2, 0.4)))
  assert verdicts.difference(a, b) == pytest.approx({0: 0.25, 1: 0.05})
  assert verdicts.difference(a, b, [6]) == pytest.approx({0: 0.4, 1: 0.1})
  assert verdicts.change(a, 6) == pytest.approx({0: -0.3, 1: -0.4})


def test_a_seed_without_all_rounds_is_left_out():
  a = _curve((3, (0.8, 0.7)), (6, (0.6,)))
  assert verdicts.difference(a, a) == {0: 0.0}


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
  # Two ways: the paired t test.
  rows = noise[:2]
  found = verdicts.differ(
    "claim", {"a": _seeds(*rows[0]), "b": _seeds(*rows[1])}
  )
  p = stats.ttest_rel(*rows).pvalue
  assert found.test.endswith(f"= {p:.2g}")
