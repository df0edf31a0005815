"""The VOC07 protocol: scikit-learn called by hand, and what it refuses."""

import types

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC

from sslprune_jax.config import SVM_COSTS, base
from sslprune_jax.study import validation
from sslprune_jax.transfer import svm

NAMES = ["left", "right"]


def _set(size=90, seed=0):
  """Returns features, of any length, and labels with difficult ones."""
  rng = np.random.default_rng(seed)
  labels = (rng.random((size, 2)) < 0.3).astype(int)
  features = rng.normal(size=(size, 6))
  features[:, :2] += 1.5 * labels
  labels[rng.random((size, 2)) < 0.1] = -1
  return (features * rng.uniform(1, 9, (size, 1))).astype(np.float32), labels


def test_equals_scikit_learn_called_by_hand():
  features, labels = _set()
  costs = (0.01, 0.5, 10.0)
  found = svm.fit(features, labels, NAMES, costs)
  x = features.astype(float)
  x /= np.sqrt((x**2).sum(1))[:, None]
  for i in range(2):
    y = np.where(labels[:, i] == 1, 1, -1)

    def machine(cost, x, y):
      return LinearSVC(
        C=cost,
        class_weight={1: 2, -1: 1},
        dual=True,
        max_iter=2000,
        random_state=0,
      ).fit(x, y)

    means = []
    for cost in costs:
      parts = []
      for train, test in StratifiedKFold(3).split(x, y):
        scores = machine(cost, x[train], y[train]).decision_function(x[test])
        parts.append(average_precision_score(y[test], scores))
      means.append(np.mean(parts))
    best = int(np.argmax(means))
    assert found.costs[i] == costs[best]
    np.testing.assert_allclose(found.validated[i], means[best])
    by_hand = machine(costs[best], x, y)
    np.testing.assert_allclose(
      found.scores(features)[:, i], by_hand.decision_function(x), atol=1e-9
    )


def test_costs_are_those_of_the_protocol():
  fair, vissl = SVM_COSTS["fair"], SVM_COSTS["vissl"]
  assert len(fair) == len(set(fair)) == 26
  assert {1e-7, 0.01, 100.0, 0.5**4, 0.5**19} <= set(fair)
  assert max(fair) == 100.0 and not {2.0, 5.0, 1000.0} & set(fair)
  assert vissl == (0.01, 0.1, 1, 2, 5, 10, 15, 20, 50, 100, 1000)


@pytest.mark.parametrize(
  "costs, expected",
  [
    (("fair",), SVM_COSTS["fair"]),
    (("vissl",), SVM_COSTS["vissl"]),
    ((0.5, 2), (0.5, 2)),
  ],
)
def test_costs_are_chosen_by_name_or_given(costs, expected, monkeypatch):
  seen = []
  monkeypatch.setattr(svm, "fit", lambda *args: seen.append(args[-1]))
  config = base()
  config.transfer.svm.costs = costs
  validation.validate(config)
  made = svm.SVM.__new__(svm.SVM)
  made.config = config
  made.target = types.SimpleNamespace(
    train=types.SimpleNamespace(class_names=NAMES)
  )
  features = types.SimpleNamespace(
    on_host=lambda: np.ones((2, 2)), labels=np.eye(2, dtype=int)
  )
  with pytest.raises(AttributeError):  # Nothing was fitted.
    made.judge(features, features, None, 0)
  assert seen == [expected]


@pytest.mark.parametrize("costs", [(), ("fare",), ("fair", 1.0), (0.0,)])
def test_other_costs_are_refused_with_the_lists_there_are(costs):
  config = base()
  config.transfer.svm.costs = costs
  with pytest.raises(ValueError, match="svm.costs: found .*'fair'.*'vissl'"):
    validation.validate(config)


def test_the_length_of_features_does_not_matter():
  features, labels = _set()
  scores = svm.fit(features, labels, NAMES, (1.0,)).scores(3 * features)
  longer = svm.fit(7 * features, labels, NAMES, (1.0,)).scores(features)
  np.testing.assert_allclose(scores, longer, atol=1e-6)
  found = svm.fit(features, labels, NAMES, (1.0,))
  np.testing.assert_array_equal(found.scores(np.zeros((1, 6)))[0], found.bias)


def test_a_machine_that_did_not_converge_says_so():
  features, labels = _set()
  found = svm.fit(features, labels, NAMES, (1e6,))
  assert found.converged.dtype == bool and not found.converged.all()
  assert svm.fit(features, labels, NAMES, (0.01,)).converged.all()


@pytest.mark.parametrize(
  ("there", "message"),
  [
    (
      2,
      "class right: found 2 of 90 training images with it, expected at least",
    ),
    (88, "class right: found 2 of 90 training images without it, expected"),
  ],
)
def test_a_class_that_a_fold_would_lack_is_named(there, message):
  features, labels = _set()
  labels[:, 1] = np.arange(90) < there
  with pytest.raises(ValueError, match=message):
    svm.fit(features, labels, NAMES, (1.0,))
