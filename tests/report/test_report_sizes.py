"""What a report says of a network that was brought: size against quality."""

import base64
import json

import pytest

from sslprune_jax import report
from sslprune_jax.report import results, size_tables, sizes, times
from sslprune_jax.runtime import files

_ON = {"dataset": "folder", "split": "test", "model": "resnet18", "init": None}


def _line(index, metric, value, seed=0, protocol="knn", **more):
  return {
    **_ON,
    "task": "distil",
    "stage": "transfer",
    "round": index,
    "density": 0.5**index,
    "density_of_all": 0.5**index,
    "kept": 1000 >> index,
    "prunable": 1000,
    "n": 400,
    "training_images": 1600,
    "protocol": protocol,
    "target": "folder",
    "fraction": 1.0,
    "layer": "features",
    "metric": metric,
    "value": value,
    "seed": seed,
    **more,
  }


def _write(workdir, lines, start="moco.pth"):
  workdir.mkdir()
  files.write_json_lines(workdir / "results.jsonl", lines)
  config = {
    "start": start,
    "prune": {"method": "one-shot"},
    "model": {"name": "resnet18"},
    "dataset": {"name": "folder"},
  }
  files.write_json(workdir / "config.json", {"config": config})
  for index in (0, 1, 2):
    folder = workdir / f"seed_0/distil/round_{index:02d}"
    folder.mkdir(parents=True)
    (folder / "trained.npz").write_bytes(b"x" * (4000 >> index))
    layers = [
      {"path": "trunk/a/kernel", "total": 8, "kept": 8 >> index, "uses": 9},
      {"path": "trunk/b/kernel", "total": 8, "kept": 8, "uses": 1},
    ]
    for layer in layers:
      layer |= {"shape": [8], "dead_outputs": 0}
    about = {"layers": layers, "kept": 1, "prunable": 16, "parameters": 20}
    (folder / "sparsity.json").write_text(json.dumps(about | {"excluded": []}))
  return workdir


def _accuracies(test, choice, seed=0):
  return [
    _line(index, metric, value, seed)
    for metric, values in (("accuracy", test), ("accuracy_for_choice", choice))
    for index, value in enumerate(values)
  ]


def _chosen(workdir):
  (run,) = results.read([workdir])
  (found,) = sizes.collect(run).values()
  return {each.within: each for each in sizes.choose(found)}, found


def test_the_smallest_is_chosen_on_held_out_images_alone(tmp_path):
  # On the test images the smallest would be as good: nobody looks.
  lines = _accuracies((0.9, 0.88, 0.9), (0.8, 0.785, 0.7))
  chosen, found = _chosen(_write(tmp_path / "w", lines))
  assert [size.bytes for size in found] == [4000, 2000, 1000]
  assert [size.multiply_adds for size in found] == [1.0, 44 / 80, 26 / 80]
  assert chosen[0.01].size is found[0] and chosen[0.01].error == 0
  near = chosen[0.02]
  assert near.size is found[1]
  assert near.value == 0.88 and near.difference == pytest.approx(-0.02)
  expected = 1.959964 * ((0.9 * 0.1 + 0.88 * 0.12) / 400) ** 0.5
  assert near.error == pytest.approx(expected)


def test_over_seeds_the_interval_is_that_of_paired_differences(tmp_path):
  lines = []
  for seed, lost in enumerate((0.01, 0.02, 0.03)):
    whole = 0.9 + 0.01 * seed
    lines += _accuracies(
      (whole, whole - lost, 0.5), (whole, whole - 0.005, 0.5), seed
    )
  chosen, found = _chosen(_write(tmp_path / "w", lines))
  near = chosen[0.01]
  assert near.size is found[1] and near.difference == pytest.approx(-0.02)
  assert near.error == pytest.approx(4.302653 * 0.01 / 3**0.5)


def test_what_some_seeds_lack_is_not_chosen(tmp_path):
  # By its own seed's mean alone it would be above the dense network's.
  lines = _accuracies((0.9, 0.88), (0.9, 0.88), 0)
  lines += _accuracies((0.8,), (0.8,), 1)
  chosen, found = _chosen(_write(tmp_path / "w", lines))
  assert chosen[0.01].size is chosen[0.02].size is found[0]


def test_without_a_judgement_that_is_drawn_there_is_no_picture(tmp_path):
  # A study begins with the untrained network, by all that judges.
  lines = _accuracies((0.9,), (0.9,))
  lines[:] = [line | {"metric": "mine"} for line in lines[:1]]
  lines += [_line(0, "accuracy", 0.3, task="random", protocol="linear")]
  workdir = _write(tmp_path / "w", lines)
  page, *files = report.write_report([workdir], tmp_path / "r.html")
  assert "moco.pth, smaller" in page.read_text()
  assert not [path for path in files if path.name == "sizes.png"]


def test_the_page_opens_with_it(tmp_path):
  lines = _accuracies((0.9, 0.88, 0.9), (0.8, 0.785, 0.7))
  lines += [
    _line(index, f"cosine{end}", 1 - index / 4, protocol="fidelity")
    for index in (0, 1, 2)
    for end in ("", "_for_choice")
  ]
  workdir = _write(tmp_path / "w", lines, start="<b>moco.pth")
  page, *files = report.write_report([workdir], tmp_path / "r.html")
  (picture,) = (path for path in files if path.name == "sizes.png")
  text = page.read_text()
  encoded = base64.b64encode(picture.read_bytes()).decode()
  assert text.index(encoded) < text.index("The smallest that are nearly")
  assert "<h2>&lt;b&gt;moco.pth, smaller</h2>" in text
  assert "to each density at once" in text
  words = text.replace("\n", " ")
  row = '<td>knn on folder: accuracy (%)</td><td class="number">2</td>'
  assert f'{row}<td class="number">01</td>' in words
  assert "\u22122.0 ± 4.3</td>" in words
  assert (
    "fidelity on folder: cosine to the features of the network it came from (%)"
    in words
  )


def test_each_target_has_its_own_column(tmp_path):
  lines = _accuracies((0.95, 0.94, 0.9), (0.9, 0.9, 0.9))
  lines += [
    {**line, "target": "digits", "value": line["value"] / 2} for line in lines
  ]
  _, found = _chosen(_write(tmp_path / "w", lines))
  table = size_tables.tabulate(found)
  assert table.header[5:] == [
    "knn on folder: accuracy (%)",
    "knn on digits: accuracy (%)",
  ]
  assert table.rows[0][5:] == ["95.0", "47.5"]
  (run,) = results.read([tmp_path / "w"])
  measure, values = times._qualities(run)
  assert measure == "knn on folder: accuracy (%)"
  assert values["distil", 1] == {0: 0.94}


def test_a_study_that_was_drawn_has_no_such_part(tmp_path):
  lines = _accuracies((0.9, 0.88, 0.9), (0.8, 0.785, 0.7))
  workdir = _write(tmp_path / "w", lines, start="")
  (run,) = results.read([workdir])
  assert sizes.collect(run) == {}
