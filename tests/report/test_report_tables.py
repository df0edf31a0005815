"""Tables as text."""

import pytest

from sslprune_jax.report import curves, names, tables, words

NAMES = names.collect()


def group(rows, stage="retrain"):
  return curves.group([dict(row, run="r") for row in rows], stage)


@pytest.mark.parametrize(
  ("mean", "error", "sign", "text"),
  [
    (0.9123, 0.0031, "", "91.2 ± 0.3"),
    (-0.0512, 0.004, "+", "−5.1 ± 0.4"),
    (-1e-9, None, "+", "+0.0"),
  ],
)
def test_estimates_are_percents(mean, error, sign, text):
  assert words.write_estimate(curves.Estimate(mean, error, 2), sign) == text


@pytest.mark.parametrize(
  ("duration", "text"),
  [("4.714285714285714ep", "4.71ep"), ("1.5ep", "1.5ep"), ("9it", "9it")],
)
def test_durations_have_two_decimals_at_most(duration, text):
  assert words.write_duration(duration) == text


def test_compared_is_the_sparsest_round_that_most_tasks_have(make):
  rows = [
    make.result("labels", 0, "retrain", i, "rewind") for i in (0, 3, 7, 18)
  ]
  assert tables.sparsest(group(rows)) == 18
  rows += [make.result("rotnet", 0, "retrain", i, "rewind") for i in (0, 3, 7)]
  assert tables.sparsest(group(rows)) == 7
  assert tables.sparsest(group(rows[:1])) is None


def test_summary_shows_n_only_where_seeds_are_missing(make):
  rows = [
    make.result("rotnet", seed, "retrain", i, "rewind", value=0.5)
    for seed, i in [(0, 0), (1, 0), (0, 3)]
  ]
  table = tables.summary(group(rows), NAMES)
  assert table.header[:3] == ["round", "% of prunable", "% of all"]
  assert table.rows == [
    ["0", "100", "100", "50.0 ± 0.0"],
    ["3", "51", "54", "50.0 (1)"],
  ]


def test_summary_shows_what_remains_where_masks_differ(make):
  rows = [
    make.result("labels", 0, "retrain", 3, init, value=0.5) | shares
    for init, shares in (
      ("rewind", {"density": 0.3}),
      ("narrow", {"density": 0.42}),
    )
  ]
  (row,) = tables.summary(group(rows), NAMES).rows
  assert row[:3] == ["3", "30 to 42", "54"]


def test_differences_name_what_is_compared(make):
  table = tables.differences(group(make.results()), 18, NAMES)
  assert [row[:2] for row in table.rows] == [
    ["Labels, winning ticket", "RotNet, winning ticket"],
    ["Labels, random re-init", "RotNet, random re-init"],
    ["Labels, winning ticket", "Labels, random re-init"],
    ["RotNet, winning ticket", "RotNet, random re-init"],
    ["Labels, winning ticket", "random mask"],
    ["RotNet, winning ticket", "random mask"],
  ]
  assert {row[-1] for row in table.rows} == {"3"}


def test_layers_of_the_last_round_and_the_round_that_emptied_one():
  def entry(index, seed, kept):
    layer = {"path": "a", "shape": [3, 3, 1, 10], "total": 90}
    layer |= {"kept": kept, "uses": 20}
    layer |= {"dead_outputs": 10 if kept == 0 else 4}
    return {"task": "rotnet", "seed": seed, "round": index, "layers": [layer]}

  entries = [entry(0, 0, 90), entry(1, 0, 0), entry(2, 0, 0), entry(2, 1, 9)]
  assert tables.layers(entries, "rotnet").rows == [
    [
      "a",
      "3 × 3 × 1 × 10",
      "90",
      "0 to 9",
      "5",
      "90 of 1,800",
      "4 to 10 of 10",
    ],
    ["all", "", "", "", "", "5 % of 1,800", ""],
  ]
  assert tables.list_emptied(entries, NAMES) == [
    "a: empty from round 1 (RotNet, seed 0)"
  ]
  for old in entries:
    del old["layers"][0]["uses"]  # As an earlier version wrote them.
  (row,) = tables.layers(entries, "rotnet").rows
  assert row[-2] == ""


def test_csv_keeps_all_digits_and_all_fields():
  rows = [{"seed": 0, "value": 1 / 3}, {"seed": 1, "value": 0.5, "layer": "a"}]
  assert tables.to_csv(rows) == (f"seed,value,layer\n0,{1 / 3!r},\n1,0.5,a\n")


@pytest.mark.parametrize(
  ("fraction", "text"),
  [(1, "100"), (0.512, "51"), (0.0859, "8.6"), (0.00124, "0.12")],
)
def test_percent_has_two_digits(fraction, text):
  assert words.write_percent(fraction) == text
