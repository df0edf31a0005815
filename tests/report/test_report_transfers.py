"""Tests of transfers in the report: what shares axes, and how it is drawn."""

import pytest

from sslprune_jax import report, workdir
from sslprune_jax.report import (
  curves,
  figures,
  names,
  panels,
  results,
  transfers,
)


def _rows(make, protocol, task="rotnet", seeds=(0, 1), rounds=(0, 5), **fields):
  of_transfer = {
    "protocol": protocol,
    "target": "digits",
    "fraction": 1.0,
    "layer": "features",
    "crop": "whole",
    "learning_rate": 0.1,
    "duration": "9ep",
  }
  return [
    make.result(task, seed, "transfer", index, **(of_transfer | fields))
    for seed in seeds
    for index in rounds
  ]


def _grouped(make, tmp_path, rows):
  (run,) = results.read([make.run(tmp_path / "run", rows)])
  return transfers.group(run.rows)


def test_what_differs_in_more_than_task_and_round_has_other_axes(
  make, tmp_path
):
  rows = [
    *_rows(make, "knn"),
    *_rows(make, "linear", "labels"),
    *_rows(make, "linear"),
    *_rows(make, "linear", layer="stage3"),
    *_rows(make, "linear", fraction=0.1),
    *_rows(make, "svm", metric="mean_average_precision", target="voc2007"),
    *_rows(make, "finetune", metric="loss"),
  ]
  found = _grouped(make, tmp_path, rows)
  assert [t.title for t in found] == [
    "Linear classifier on digits, 10 % of its labels",
    "Linear classifier on digits",
    "Linear classifier on digits, of stage3",
    "Linear SVMs, the VOC07 protocol on voc2007",
    "Vote of the nearest neighbours on digits",
  ]
  assert len({t.name for t in found}) == len(found)
  assert [c.task for c in found[1].curves] == ["labels", "rotnet"]
  assert found[1].curves[0].at(5).estimate.n == 2


def test_pruned_before_and_while_stand_on_one_figure(make, tmp_path):
  rows = [
    *_rows(make, "finetune"),
    *_rows(make, "prune", rounds=(0, 1, 5)),
    *_rows(make, "finetune", "random", rounds=(0,), value=0.5),
  ]
  (found,) = _grouped(make, tmp_path, rows)
  assert [curve.init for curve in found.curves] == ["finetune", "prune"]
  assert found.untrained.mean == 0.5 and found.untrained.n == 2
  panel = panels.transfer_panel("", found)
  figure = figures.draw([panel], names.collect())
  (axes,) = figure.axes
  styles = [
    (bar.lines[0].get_linestyle(), bar.lines[0].get_markerfacecolor())
    for bar in axes.containers
  ]
  assert [style[0] for style in styles] == ["-", "--"]
  assert styles[1][1] == "white" != styles[0][1]
  assert axes.lines[-1].get_ydata()[0] == 50
  words = [text.get_text() for text in figure.legends[0].texts]
  assert words == [
    "RotNet",
    "pruned in pre-training",
    "pruned in transfer",
    "untrained network",
  ]


def test_a_protocol_that_no_one_names_is_called_as_it_stands(make, tmp_path):
  rows = _rows(make, "probe") + _rows(make, "knn")
  rows += _rows(make, "probe", metric="mean_average_precision")
  known, unknown, other = _grouped(make, tmp_path, rows)
  assert known.title == "Vote of the nearest neighbours on digits"
  assert unknown.title == other.title == "probe on digits"
  page, *files = report.write_report([tmp_path / "run"], tmp_path / "a.html")
  names = {file.name for file in files}
  assert {
    "transfer_probe_digits_accuracy.png",
    "transfer_probe_digits_mean_average_precision.png",
    "transfer_knn_digits.png",
  } <= names
  assert "<h3>probe on digits</h3>" in page.read_text()


def test_the_page_shows_transfers_with_or_without_a_study(make, tmp_path):
  alone = _rows(make, "linear") + _rows(
    make, "linear", "random", rounds=(0,), value=0.25
  )
  for rows in (alone, alone + make.results(seeds=(0, 1))):
    run = make.run(tmp_path / str(len(rows)), rows)
    page, *files = report.write_report([run], run / "report.html")
    assert run / "figures/transfer_linear_digits.png" in files
    text = page.read_text()
    assert "Linear classifier on digits" in text
    assert "<title>Pruned with self-supervision" in text
    assert "self-supervision: </title>" not in text
    assert "Untrained network: 25.0 ± 0.0." in text
    assert "learning rate 0.1" in text and "9ep" in text


def test_an_untrained_network_alone_is_no_figure_yet(make, tmp_path):
  rows = _rows(make, "knn", "random", rounds=(0,), value=0.25)
  page, *files = report.write_report(
    [make.run(tmp_path / "run", rows)], tmp_path / "report.html"
  )
  assert not [file for file in files if file.suffix == ".png"]
  assert "No trained one yet" in page.read_text()


def test_a_transfer_that_lacks_a_field_or_stands_twice_is_named(make, tmp_path):
  rows = _rows(make, "knn", seeds=(0,), rounds=(0,))
  with pytest.raises(results.ResultsError, match="the same result twice.*knn"):
    results.read([make.run(tmp_path / "a", rows * 2)])
  # Of networks that learnt on other images it is another one.
  several = [
    make.run(tmp_path / name, rows, config={"dataset": {"name": name}})
    for name in ("cifar10", "digits")
  ]
  assert len(results.read(several)) == 2
  del rows[0]["layer"]
  with pytest.raises(results.ResultsError, match="line 1: no field 'layer'"):
    results.read([make.run(tmp_path / "b", rows)])


def test_networks_whose_channels_went_are_drawn_against_what_they_cost(
  make, tmp_path
):
  rounds = [
    make.result("rotnet", seed, "pretext", index) | {workdir.COST: cost}
    for index, cost in ((0, 1.0), (5, 0.5))
    for seed in (0, 1)
  ]
  run = make.run(tmp_path / "run", [*rounds, *_rows(make, "knn")])
  (read,) = results.read([run])
  judged = [row for row in read.rows if row["stage"] == workdir.TRANSFER]
  (found,) = transfers.group(judged)
  assert curves.axis_of(found.curves) == "multiply-adds"
  assert [p.remaining for p in found.curves[0].points] == [1.0, 0.5]
