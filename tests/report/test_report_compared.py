"""Variants of no figure of the paper: one table of what they reach."""

import json
import re

import pytest

from sslprune_jax import report, workdir
from sslprune_jax.report.paper import compared, runs

_KNN = {
  "protocol": "knn",
  "target": "digits",
  "fraction": 1.0,
  "layer": "features",
  "crop": "whole",
}


def _study(make, path, tasks=("npid",)):
  """Writes a network that is pruned, and a narrow one."""
  path.mkdir()
  variants = {"pruned": {}, "narrow": {"model": {"width": 0.5}}}
  config = {"name": "mine", "figure": "", "dataset": {"name": "digits"}}
  about = {"config": config | {"variants": variants}, "versions": {}}
  (path / "config.json").write_text(json.dumps({**about, "commit": "abc"}))
  for variant in variants:
    rows = [
      make.result(task, seed, stage, index, value=value + 0.01 * seed, **own)
      for task, above in zip(tasks, (0.0, 0.05), strict=False)
      for stage, own in (("pretext", {}), ("transfer", _KNN))
      for index, value in ((0, 0.9 + above), (1, 0.85), (2, 0.8 + above))
      for seed in (0, 1)
      if variant == "pruned" or index == 0
    ]
    if variant == "pruned":
      costs = {0: 1.0, 1: 0.7, 2: 0.5}
      rows = [row | {workdir.COST: costs[row["round"]]} for row in rows]
    make.run(path / variant, rows, config=config | {"model": {"name": "vgg"}})
  return path


def test_variants_stand_in_one_table_whole_and_at_their_last_round(
  make, tmp_path
):
  (run,) = runs.read([_study(make, tmp_path / "mine")])
  table = compared.tabulate(run)
  judge = "Vote of the nearest neighbours on digits"
  assert table.header == [
    *("variant", "weights", "multiply-adds", "the task itself"),
    judge,
  ]
  assert table.rows == [
    ["pruned", "100", "100", "90.5 ± 0.5", "90.5 ± 0.5"],
    ["pruned", "64", "50", "80.5 ± 0.5", "80.5 ± 0.5"],
    ["narrow", "100", "", "90.5 ± 0.5", "90.5 ± 0.5"],
  ]


def test_what_remains_is_the_masks_and_not_a_controls(make, tmp_path):
  path = _study(make, tmp_path / "mine")
  lines = path / "pruned/results.jsonl"
  control = make.result("npid", 0, "retrain", 2, "random", value=0.5)
  control |= {"density": 0.9, workdir.COST: 0.8}
  kept = [x for x in lines.read_text().splitlines() if '"transfer"' not in x]
  lines.write_text("\n".join([*kept, json.dumps(control)]) + "\n")
  (run,) = runs.read([path])
  assert compared.tabulate(run).rows[1][:3] == ["pruned", "64", "50"]


def test_tasks_are_named_where_there_are_several(make, tmp_path):
  run = _study(make, tmp_path / "mine", tasks=("labels", "npid"))
  table = compared.tabulate(runs.read([run])[0])
  assert [[*row[:2], row[-1]] for row in table.rows[:4]] == [
    ["pruned", "Labels", "90.5 ± 0.5"],
    ["pruned", "Labels", "80.5 ± 0.5"],
    ["pruned", "NPID", "95.5 ± 0.5"],
    ["pruned", "NPID", "85.5 ± 0.5"],
  ]


@pytest.mark.parametrize("kind", ["html", "md"])
def test_the_page_shows_the_table_and_nothing_of_the_paper(
  kind, make, tmp_path
):
  run = _study(make, tmp_path / "mine")
  page, *_ = report.write_report([run], run / f"report.{kind}")
  text = re.sub(r"<[^>]+>", " ", page.read_text())
  assert compared.SHOWN in text and "80.5 ± 0.5" in text
  assert "Caron" not in text and "claim" not in text.lower()
