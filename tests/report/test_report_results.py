"""Reading runs: what is refused, and how it is said."""

import json
import re

import pytest

from sslprune_jax import workdir
from sslprune_jax.report import (
  curves,
  figures,
  names,
  panels,
  results,
  settings,
)


def spoil(make, tmp_path, **changes):
  run = make.run(tmp_path / "run", [make.result("rotnet", 0, "pretext", 0)])
  row = make.result("rotnet", 1, "pretext", 0) | changes
  row = {key: value for key, value in row.items() if value != "absent"}
  with (run / "results.jsonl").open("a") as file:
    file.write(json.dumps(row) + "\n")
  return run


def test_rows_carry_their_run_and_network(make, tmp_path):
  rows = make.results(seeds=(0,))
  (run,) = results.read([make.run(tmp_path / "mine", rows)])
  assert {(row["run"], row["model"]) for row in run.rows} == {
    ("mine", "convnet")
  }
  assert len(run.rows) == len(rows)
  assert len(run.sparsity) == 2 * 19
  assert {entry["seed"] for entry in run.sparsity} == {0}


def test_runs_of_one_name_are_told_apart_by_path(make, tmp_path):
  runs = [
    make.run(tmp_path / f"{seed}" / "out", make.results(seeds=(seed,)))
    for seed in (0, 1)
  ]
  assert [run.name for run in results.read(runs)] == [str(r) for r in runs]


def test_missing_results_say_where_they_were_looked_for(tmp_path):
  with pytest.raises(results.ResultsError, match="no results: .*nowhere/resu"):
    results.read([tmp_path / "nowhere"])


def test_an_empty_file_is_no_result(make, tmp_path):
  with pytest.raises(results.ResultsError, match="results.jsonl is empty"):
    results.read([make.run(tmp_path, [])])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"value": 91.2}, "value: found the accuracy 91.2, expected 0 to 1"),
    ({"density": 0.0}, "density: found 0.0, expected above 0, at most 1"),
    ({"seed": True}, "seed: found True, expected a whole number"),
    ({"updates": 1.5}, "updates: found 1.5, expected a whole number"),
    ({"task": None}, "task: found None, expected a text"),
    ({"kept": "absent"}, "no field 'kept'"),
    ({"stage": "retrain"}, "init: found None, expected a text"),
  ],
)
def test_a_broken_line_is_named(make, tmp_path, changes, message):
  run = spoil(make, tmp_path, **changes)
  with pytest.raises(results.ResultsError) as error:
    results.read([run])
  assert f"{run}/results.jsonl, line 2: {message}" in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(
  ("row", "message"),
  [
    ({"label": 3}, "tasks.simclr.label: found 3, expected a text"),
    ({"colour": "blue"}, "tasks.simclr.colour: found 'blue', expected such as"),
    ("SimCLR", "tasks.simclr: found 'SimCLR', expected its label"),
  ],
)
def test_a_row_of_a_task_that_is_broken_is_named(make, tmp_path, row, message):
  rows = [make.result("simclr", 0, "pretext", 0)]
  run = make.run(tmp_path / "run", rows, tasks={"simclr": row})
  with pytest.raises(results.ResultsError, match=f"config.json: {message}"):
    results.read([run])


@pytest.mark.parametrize("text", ['{"seed": 0, "ta', "[1, 2]"])
def test_a_line_that_is_no_object_is_named(make, tmp_path, text):
  run = make.run(tmp_path, [make.result("rotnet", 0, "pretext", 0)])
  with (run / "results.jsonl").open("a") as file:
    file.write(text)
  with pytest.raises(results.ResultsError, match="line 2: damaged: "):
    results.read([run])


def test_a_stage_of_the_future_needs_only_what_every_stage_has(make, tmp_path):
  run = spoil(make, tmp_path, stage="export", updates="absent")
  (run,) = results.read([run])
  assert [row["stage"] for row in run.rows] == ["pretext", "export"]
  (setting,) = settings.join([run])
  assert [row["stage"] for row in setting.rows] == ["pretext"]


def test_a_result_given_twice_names_both_runs(make, tmp_path):
  rows = make.results(tasks=("rotnet",), seeds=(0,))
  runs = [make.run(tmp_path / name, rows) for name in ("first", "second")]
  with pytest.raises(results.ResultsError, match="run first and in run second"):
    results.read(runs)


@pytest.mark.parametrize(
  "changes, words",
  [
    ({"start": "f00d"}, "starts from another network than"),
    (
      {"config": {"prune": {"method": "one-shot"}}},
      "prunes by another method than",
    ),
    (
      {"config": {"prune": {"structure": "channels"}}},
      "prunes something else than",
    ),
    (
      {"config": {"prune": {"restart_from": "trained"}}},
      "trains from other weights than",
    ),
    ({"config": {"model": {"kept": "ff"}}}, "has other channels than"),
  ],
)
def test_rounds_that_mean_something_else_share_no_page(
  changes, words, make, tmp_path
):
  runs = [
    make.run(tmp_path / f"{seed}", make.results(seeds=(seed,)))
    for seed in (0, 1)
  ]
  path = runs[1] / "config.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))
  with pytest.raises(
    results.ResultsError, match=f"{runs[1]} {words} {runs[0]}"
  ):
    results.read(runs)


def test_data_sets_and_networks_do_not_share_axes(make, tmp_path):
  digits = make.run(tmp_path / "a", make.results(seeds=(0,)))
  rows = [make.result("rotnet", 0, "pretext", 0, dataset="fashion_mnist")]
  fashion = make.run(tmp_path / "b", rows)
  rows = make.results(seeds=(0,))
  resnet = make.run(
    tmp_path / "c", rows, config={"model": {"name": "resnet18"}}
  )
  joined = settings.join(results.read([digits, fashion, resnet]))
  assert [(s.dataset, s.model) for s in joined] == [
    ("digits", "convnet"),
    ("fashion_mnist", "convnet"),
    ("digits", "resnet18"),
  ]
  assert len(joined[1].sparsity) == 1


def test_a_task_scored_on_training_images_stands_with_its_masks(make, tmp_path):
  rows = make.results(tasks=("deepcluster", "rotnet"), seeds=(0,))
  for row in rows:
    if row["task"] == "deepcluster" and row["stage"] == "pretext":
      row.update(split="train", n=1437)
  (setting,) = settings.join(results.read([make.run(tmp_path, rows)]))
  assert setting.split == "test" and len(setting.rows) == len(rows)


_DAMAGES = {
  "no UTF-8": (b'{"a": "\xff"}', "damaged: no JSON"),
  "nested": (b"[" * 9000 + b"]" * 9000, "damaged: nested too deep"),
  "deep": (b'{"a":' * 99 + b"1" + b"}" * 99, "damaged: nested too deep"),
  "another kind": (b"[1]", "damaged: found .1., expected an object"),
}


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("name", ["results.jsonl", "config.json"])
def test_a_damaged_file_is_named_in_a_line(make, tmp_path, name, damage):
  run = make.run(tmp_path / "run", [make.result("rotnet", 0, "pretext", 0)])
  content, words = _DAMAGES[damage]
  (run / name).write_bytes(content)
  with pytest.raises(results.ResultsError, match=f"{name}.*: {words}") as error:
    results.read([run])
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [*_DAMAGES, "a folder"])
@pytest.mark.parametrize("name", ["sparsity.json", "magnitudes.json"])
def test_a_damaged_round_is_left_out_by_name(make, tmp_path, name, damage):
  rows = [make.result("rotnet", 0, "pretext", i) for i in range(2)]
  run = make.run(tmp_path / "run", rows)
  path = run / "seed_0/rotnet/round_01" / name
  path.unlink(missing_ok=True)
  if damage == "a folder":
    path.mkdir()
  else:
    path.write_bytes(_DAMAGES[damage][0])
  words = "found a folder" if damage == "a folder" else _DAMAGES[damage][1]
  (found,) = results.read([run])
  (said,) = found.left_out
  assert said.startswith(f"{path}: ") and re.search(words, said)
  assert [entry["round"] for entry in found.sparsity] == (
    [0] if name == "sparsity.json" else [0, 1]
  )


@pytest.mark.parametrize("field", ["density", "value", "learning_rate"])
def test_a_line_with_nan_is_left_out_by_field(make, tmp_path, field):
  run = spoil(make, tmp_path, **{field: float("nan")})
  (found,) = results.read([run])
  assert [row["seed"] for row in found.rows] == [0]
  assert found.left_out == [
    f"{run}/results.jsonl, line 2: {field}: found nan, expected a finite number"
  ]


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("tasks", [1], "tasks: found .1., expected an object"),
    ("versions", 3, "versions: found 3, expected an object"),
    ("versions", {"jax": 1}, "versions: jax: found 1, expected a text"),
    ("protocols", {"x": 1}, "protocols: x: found 1, expected an object"),
    ("protocols", {"x": {}}, "protocols: x: no field 'label'"),
  ],
)
def test_what_config_json_says_besides_is_held_to_its_form(
  field, value, words, make, tmp_path
):
  run = make.run(tmp_path / "run", [make.result("rotnet", 0, "pretext", 0)])
  about = json.loads((run / "config.json").read_text())
  (run / "config.json").write_text(json.dumps(about | {field: value}))
  with pytest.raises(results.ResultsError, match=f"config.json: {words}"):
    results.read([run])


@pytest.mark.parametrize(
  "name, changes, words",
  [
    ("sparsity.json", {"kept": None}, "kept: found None, expected a whole"),
    ("sparsity.json", {"layers": 3}, "layers: found 3, expected a list"),
    ("sparsity.json", {"layers": [{}]}, "layers.0.: no field 'path'"),
    ("sparsity.json", {"prunable": 0}, "prunable: found 0, expected .* above"),
    ("magnitudes.json", {}, "no field 'remaining'"),
    (
      "magnitudes.json",
      {"remaining": 3, "at_most": {"zero": 1}},
      "at_most: zero: found 1, expected an object",
    ),
    (
      "magnitudes.json",
      {"remaining": 3, "at_most": {}},
      "at_most: no field 'machine_precision'",
    ),
  ],
)
def test_a_round_of_another_form_is_left_out_by_name(
  name, changes, words, make, tmp_path
):
  run = make.run(tmp_path / "run", [make.result("rotnet", 0, "pretext", 0)])
  path = run / "seed_0/rotnet/round_00" / name
  there = json.loads(path.read_text()) if path.exists() else {}
  path.write_text(json.dumps(there | changes))
  (found,) = results.read([run])
  (said,) = found.left_out
  assert re.match(f"{path}: {words}", said)


def test_seeds_that_leave_other_weights_of_channels_are_averaged(
  make, tmp_path
):
  rows = [
    make.result("labels", seed, "pretext", 1, density=density)
    for seed, density in enumerate((0.884, 0.846))
  ]
  config = {"prune": {"structure": "channels"}}
  run = make.run(tmp_path / "channels", rows, config=config)
  (found,) = results.read([run])
  (curve,) = curves.group(found.rows, "pretext")
  assert curve.points[0].density == pytest.approx(0.865)
  (found,) = results.read([make.run(tmp_path / "weights", rows)])
  with pytest.raises(results.ResultsError, match="round 1 keeps 88.400% of th"):
    curves.group(found.rows, "pretext")


def test_channels_are_drawn_against_the_multiply_adds_that_remain(
  make, tmp_path
):
  rows = [
    make.result("labels", 0, "pretext", index, density=0.9**index)
    | {workdir.COST: 0.7**index}
    for index in range(2)
  ]
  config = {"prune": {"structure": "channels"}}
  (found,) = results.read([make.run(tmp_path / "a", rows, config=config)])
  drawn = curves.group(found.rows, "pretext")
  assert [p.remaining for p in drawn[0].points] == pytest.approx([1, 0.7])
  assert curves.axis_of(drawn) == "multiply-adds"
  panel = panels.Panel("", "", tuple(drawn))
  (_, pruned) = panels.rows([panel])
  assert pruned["remaining"] == pytest.approx(0.9)
  assert pruned["multiply_adds"] == pytest.approx(0.7)
  (axes,) = figures.draw([panel], names.collect()).axes
  assert axes.get_xlabel() == "Remaining multiply-adds (%)"
  assert axes.lines[0].get_xdata() == pytest.approx([100, 70])
  rows = [{k: v for k, v in row.items() if k != workdir.COST} for row in rows]
  (found,) = results.read([make.run(tmp_path / "b", rows)])
  assert curves.axis_of(curves.group(found.rows, "pretext")) == (
    "prunable weights"
  )


@pytest.mark.parametrize("share", [0, 1.5, "half", True])
def test_a_share_of_multiply_adds_that_is_none_is_refused(
  make, tmp_path, share
):
  row = make.result("labels", 0, "pretext", 0) | {workdir.COST: share}
  with pytest.raises(results.ResultsError, match="density_of_multiply_adds: f"):
    results.read([make.run(tmp_path / "a", [row])])
