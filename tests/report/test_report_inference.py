"""Seeds, intervals and variances: published numbers, SciPy's, simulations."""

import numpy as np
import pytest
from scipy import stats

from sslprune_jax.report import inference, verdicts
from sslprune_jax.report.verdicts import FAILS, HOLDS, MARGIN, NO_DIFFERENCE

SIMULATIONS = 1000
# 5 % and two standard errors.
MOST = 0.05 + 2 * (0.05 * 0.95 / SIMULATIONS) ** 0.5


@pytest.mark.parametrize(
  ("deviation", "expected"),
  # Of a paired t test at 5 %, both sides, that finds 1 with 90 % (so that both
  # of the one-sided tests do with 80 %): R, power.t.test(type="one.sample").
  [(1.0, 13), (1.25, 19), (2.0, 44)],
)
def test_the_number_of_seeds_is_that_of_tables(deviation, expected):
  assert inference.num_seeds(deviation, 1.0, 0.95, 0.8) == expected
  # Only the quotient counts.
  assert inference.num_seeds(deviation / 50, 0.02, 0.95, 0.8) == expected


def test_the_number_of_seeds_is_at_least_two_and_near_the_normal_one():
  assert inference.num_seeds(0.0, MARGIN) == 2
  assert inference.num_seeds(1e-4, MARGIN) == 2
  z = stats.norm.ppf((1 + inference.LEVEL) / 2)
  normal = (z + stats.norm.ppf((1 + inference.POWER) / 2)) ** 2 * 50**2
  assert inference.num_seeds(1.0, 1 / 50) == pytest.approx(normal, rel=1e-3)


def test_so_many_seeds_tell_the_difference_from_none():
  rng = np.random.default_rng(0)
  n = inference.num_seeds(1.0, 1.0)
  for seeds, enough in ((n, True), (n - 2, False)):
    drawn = rng.normal(size=(20_000, seeds))
    error = drawn.std(1, ddof=1) / seeds**0.5
    half = error * stats.t.ppf((1 + inference.LEVEL) / 2, seeds - 1)
    inside = (np.abs(drawn.mean(1)) + half < 1).mean()
    assert (inside > inference.POWER - 0.01) == enough
    assert (drawn.mean(1) + 1 - half > 0).mean() > inside


def test_the_interval_and_the_analysis_are_scipys():
  rows = np.random.default_rng(0).normal(size=(2, 6))
  found = inference.student_interval(
    rows[0].mean(), stats.sem(rows[0]), 6, level=0.9
  )
  expected = stats.ttest_1samp(rows[0], 0).confidence_interval(0.9)
  np.testing.assert_allclose(found, expected)
  # Two ways: the paired t test.
  expected = stats.ttest_rel(*rows).pvalue
  assert inference.blocked_anova(rows.tolist()) == pytest.approx(expected)
  assert inference.blocked_anova([[1, 2], [1, 2]]) == 1
  assert inference.blocked_anova([[1, 2], [2, 3]]) == 0


def test_the_variance_of_hits_is_binomial():
  found = inference.binomial_variance([0.9, 0.8], 100)
  expected = np.mean([stats.binom.var(100, p) for p in (0.9, 0.8)]) / 100**2
  assert found == pytest.approx(expected)


def test_two_looks_err_in_five_percent_together():
  covariance = [[1, 0.5**0.5], [0.5**0.5, 1]]  # Half of the seeds, all.
  both = stats.multivariate_normal([0, 0], covariance)
  for level, wrong in ((inference.LEVEL, 0.05), (0.95, 0.0831)):
    z = stats.norm.ppf((1 + level) / 2)
    inside = both.cdf([z, z], lower_limit=[-z, -z])
    assert 1 - inside == pytest.approx(wrong, abs=1e-4)


# The verdicts that are wrong where the truth is so many margins above.
_WRONG = [
  (verdicts.greater, 0, (HOLDS, FAILS)),
  (verdicts.greater, 1, (FAILS, NO_DIFFERENCE)),
  (verdicts.greater, -1, (HOLDS, NO_DIFFERENCE)),
  (verdicts.less, 0, (HOLDS, FAILS)),
  (verdicts.less, 1, (HOLDS, NO_DIFFERENCE)),
  (verdicts.equal, 1, (HOLDS, FAILS)),
  (verdicts.equal, -1, (HOLDS, FAILS)),
  (verdicts.no_less, -1, (HOLDS, FAILS)),
]


@pytest.mark.slow
@pytest.mark.parametrize("looks", [(12, 24), (5, 10)], ids=str)
@pytest.mark.parametrize("deviation", [0.005, 0.02, 0.05])
@pytest.mark.parametrize(("judge", "margins", "wrong"), _WRONG)
def test_false_decisions_are_few_at_either_look(
  judge, margins, wrong, deviation, looks
):
  rng = np.random.default_rng(0)
  than = {"than": 0.5} if judge is verdicts.less else {}
  truth = margins * MARGIN + than.get("than", 0)
  false = 0
  for _ in range(SIMULATIONS):
    drawn = dict(enumerate(rng.normal(truth, deviation, size=looks[-1])))
    false += any(
      judge("", {s: drawn[s] for s in range(n)}, **than).verdict in wrong
      for n in looks
    )
  assert false / SIMULATIONS <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("looks", [(12, 24), (5, 10)], ids=str)
@pytest.mark.parametrize(
  ("offsets", "wrong"),
  [((0, 0, 0, 0), HOLDS), ((0, MARGIN, MARGIN / 2, 0), NO_DIFFERENCE)],
)
def test_false_differences_of_ways_are_few_at_either_look(
  offsets, wrong, looks
):
  rng = np.random.default_rng(0)
  false = 0
  for _ in range(SIMULATIONS):
    drawn = rng.normal(0, 0.01, size=(looks[-1], 1))  # Of a seed, in all ways.
    drawn = drawn + offsets + rng.normal(0, 0.01, size=(looks[-1], 4))
    for n in looks:
      ways = {str(i): dict(enumerate(drawn[:n, i])) for i in range(4)}
      if verdicts.differ("", ways).verdict == wrong:
        false += 1
        break
  assert false / SIMULATIONS <= MOST
