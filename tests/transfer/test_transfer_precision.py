"""Average precision: literal values, and an independent implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from sslprune_jax.transfer.precision import average_precision, of_classes


def _independent(scores, truth):
  """Sums over every distinct threshold, by the definition, one at a time."""
  pairs = [(s, t) for s, t in zip(scores, truth, strict=True) if t != -1]
  total = sum(t for _, t in pairs)
  points = []
  for threshold in {s for s, _ in pairs}:
    retrieved = [t for s, t in pairs if s >= threshold]
    hits = sum(retrieved)
    points.append((hits / total, hits / len(retrieved)))
  points.sort()
  area, before = 0.0, 0.0
  for recall in sorted({r for r, _ in points}):
    best = max(p for r, p in points if r >= recall)
    area, before = area + (recall - before) * best, recall
  return area


@given(
  st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([1, 0, 0, -1])),
    min_size=1,
    max_size=40,
  ).filter(lambda rows: any(t == 1 for _, t in rows))
)
def test_equals_the_definition_with_ties_and_difficult_objects(rows):
  scores, truth = (np.array(column) for column in zip(*rows, strict=True))
  found = average_precision(scores / 3, truth)
  np.testing.assert_allclose(found, _independent(scores, truth), atol=1e-12)


def test_precision_is_made_monotone():
  truth = np.array([0, 1, 1])
  scores = np.array([3.0, 2.0, 1.0])  # Precisions 0, 1/2, 2/3.
  assert average_precision(scores, truth) == pytest.approx(2 / 3)
  # scikit-learn's does not: 1/2 * 1/2 + 1/2 * 2/3.
  theirs = metrics.average_precision_score(truth, scores)
  assert theirs == pytest.approx(7 / 12)


def test_what_is_difficult_does_not_count():
  scores, truth = np.array([4.0, 3.0, 2.0, 1.0]), np.array([-1, 1, 0, 1])
  assert average_precision(scores, truth) == average_precision(
    scores[1:], truth[1:]
  )


def test_ties_cannot_be_won_by_their_order():
  scores = np.zeros(4)
  for truth in ([1, 0, 0, 0], [0, 0, 0, 1]):
    assert average_precision(scores, np.array(truth)) == 0.25


def test_a_class_that_is_nowhere_is_named():
  labels = np.array([[1, 0], [0, -1]])
  with pytest.raises(ValueError, match="class b, test images: found no image"):
    of_classes(np.zeros((2, 2)), labels, ["a", "b"])
  with pytest.raises(ValueError, match="class a, test.*score that is not fin"):
    of_classes(np.full((2, 2), np.nan), labels, ["a", "b"])
