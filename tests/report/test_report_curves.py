"""Means, errors and pooling against numbers worked out by hand."""

import math

import pytest

from sslprune_jax.report import curves, results


def test_mean_and_standard_error():
  estimate = curves.estimate([0.1, 0.2, 0.6])
  assert estimate.mean == pytest.approx(0.3)
  assert estimate.error == pytest.approx(math.sqrt(0.07 / 3))
  assert estimate.n == 3
  assert curves.estimate([0.5]) == curves.Estimate(0.5, None, 1)


def test_curves_come_in_order_and_rounds_too(make):
  rows = make.results()[::-1]
  found = [(c.task, c.init) for c in curves.group(rows, "retrain")]
  assert found == [
    ("labels", "rewind"),
    ("labels", "reinit"),
    ("rotnet", "rewind"),
    ("rotnet", "reinit"),
    (None, "random"),
  ]
  (labels, rotnet) = curves.group(rows, "pretext")
  assert (labels.task, rotnet.task) == ("labels", "rotnet")
  assert [point.round for point in labels.points] == list(range(19))


def test_random_is_pooled_over_tasks_before_seeds(make):
  values = {
    ("labels", 0): 0.2,
    ("rotnet", 0): 0.4,
    ("labels", 1): 0.5,
    ("rotnet", 1): 0.9,
    ("labels", 2): 0.6,  # a task alone still makes a seed
  }
  rows = [
    make.result(task, seed, "retrain", 5, "random", value=value)
    for (task, seed), value in values.items()
  ]
  rows = [dict(row, run="r") for row in rows]
  (curve,) = curves.group(rows, "retrain")
  (point,) = curve.points
  assert point.values == pytest.approx({0: 0.3, 1: 0.7, 2: 0.6})
  assert point.estimate.mean == pytest.approx(1.6 / 3)
  assert point.estimate.n == 3


def test_differences_are_taken_within_a_seed():
  a = curves.Point(5, 0.3, 0.4, {0: 0.9, 1: 0.7, 2: 0.1})
  b = curves.Point(5, 0.3, 0.4, {0: 0.8, 1: 0.4, 3: 0.2})
  difference = curves.paired_difference(a, b)
  assert difference.mean == pytest.approx(0.2)
  assert difference.error == pytest.approx(0.1)
  assert difference.n == 2
  assert (
    curves.paired_difference(a, curves.Point(5, 0.3, 0.4, {7: 0.2})) is None
  )


def test_losses_are_not_mixed_with_accuracies(make):
  rows = [make.result("npid", 0, "pretext", 0, metric="loss", value=7.0)]
  assert curves.group(rows, "pretext") == []


def test_rounds_of_other_densities_are_not_averaged(make):
  rows = [
    make.result("rotnet", 0, "pretext", 5) | {"run": "a"},
    make.result("rotnet", 1, "pretext", 5, density=0.17) | {"run": "b"},
  ]
  with pytest.raises(results.ResultsError, match="run a and 17.000% in run b"):
    curves.group(rows, "pretext")


def test_layer_densities_are_means_over_seeds():
  def entry(seed, kept):
    layers = [
      {"path": "one", "kept": kept[0], "total": 10},
      {"path": "two", "kept": kept[1], "total": 40},
    ]
    counts = {"kept": sum(kept), "prunable": 50, "layers": layers}
    return {"task": "rotnet", "round": 1, "seed": seed, **counts}

  means = curves.layer_densities([entry(0, (10, 20)), entry(1, (8, 22))])
  ((density, layers),) = means["rotnet"]
  assert density == pytest.approx(0.6)
  assert layers == pytest.approx({"one": 0.9, "two": 0.525})
