"""The page as a whole, and the command that writes it."""

import html.parser
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from sslprune_jax import report
from sslprune_jax.report import __main__ as command

ADDRESSES = {"src", "href", "srcset", "action", "data", "poster"}
VOID = {"meta", "link", "img", "br"}


class Page(html.parser.HTMLParser):
  """Collects addresses and text, and checks that tags are closed."""

  def __init__(self, text):
    super().__init__()
    self.addresses, self.text, self.open = [], "", []
    self.feed(text)
    assert self.open == []

  def handle_starttag(self, tag, attributes):
    self.open += [] if tag in VOID else [tag]
    self.addresses += [v for k, v in attributes if k in ADDRESSES]

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text += " ".join(data.split()) + " "


def read(path):
  return Page(path.read_text())


def test_the_page_needs_nothing_beside_it(make, tmp_path):
  run = make.run(tmp_path, make.results())
  files = report.write_report([run], tmp_path / "out" / "page.html")
  assert [file.name for file in files] == [
    "page.html",
    "retrained.png",
    "pretext.png",
    "layers.png",
    "results.csv",
  ]
  page = read(files[0])
  outside = [a for a in page.addresses if not a.startswith("data:")]
  assert outside == ["https://arxiv.org/abs/2001.03554"]
  assert sum(a.startswith("data:image/png") for a in page.addresses) == 3
  source = files[0].read_text()
  assert "url(" not in source and "@import" not in source
  assert "<script" not in source


def test_the_page_says_what_was_run_and_what_it_means(make, tmp_path):
  text = read(
    report.write_report(
      [make.run(tmp_path, make.results())], tmp_path / "page.html"
    )[0]
  ).text
  for words in (
    "convnet on digits",
    "3 seeds, 18 rounds",
    "1.8 % of the prunable weights (6.5 % of all parameters)",
    "standard error over seeds (n = 3)",
    "A mask makes nothing faster by itself.",
    "200 labelled images",
    "head/dense/kernel",
    "abc123",
    '"rate": 0.2',
  ):
    assert words in text, words


def test_a_study_that_has_just_begun(make, tmp_path):
  rows = [make.result("rotnet", 0, "pretext", 0)]
  page, *others = report.write_report(
    [make.run(tmp_path, rows)], tmp_path / "a.html"
  )
  assert [f.name for f in others] == [
    "pretext.png",
    "layers.png",
    "results.csv",
  ]
  text = read(page).text
  assert "One seed (n = 1)" in text
  assert "Retrained on labels" not in text


def test_one_task_one_seed_and_no_controls(make, tmp_path):
  rows = make.results(("rotnet",), (0,), ("rewind",))
  page, *_ = report.write_report(
    [make.run(tmp_path, rows)], tmp_path / "a.html"
  )
  text = read(page).text
  assert "Masks found by RotNet, 1 seed," in text
  assert " ± 0" not in text


def test_results_of_other_stages_alone_make_a_table(make, tmp_path):
  rows = [make.result("rotnet", 0, "export", 5, metric="bytes", value=0.7)]
  page, *others = report.write_report(
    [make.run(tmp_path, rows)], tmp_path / "a.html"
  )
  assert [file.name for file in others] == ["results.csv"]
  assert "All 1 results" in read(page).text


def test_runs_join_and_their_differences_are_shown(make, tmp_path):
  runs = [
    make.run(
      tmp_path / task,
      make.results(tasks=(task,)),
      config={"model": {"name": "convnet"}, "train": {"epochs": epochs}},
    )
    for task, epochs in (("labels", 10), ("rotnet", 20))
  ]
  page, *others = report.write_report(runs, tmp_path / "both.html")
  assert len(others) == 4
  text = read(page).text
  assert "Masks found by Labels and RotNet" in text
  assert "train.epochs 10 20" in " ".join(text.split())


def test_every_setting_has_its_own_figures(make, tmp_path):
  rows = make.results(("rotnet",), (0,))
  runs = [
    make.run(tmp_path / name, [dict(row, dataset=name) for row in rows])
    for name in ("digits", "fashion_mnist")
  ]
  names = {f.name for f in report.write_report(runs, tmp_path / "both.html")}
  assert len(names) == 8
  assert "retrained_fashion_mnist_test_convnet.png" in names


def test_what_cannot_be_read_is_named_and_the_rest_is_drawn(make, tmp_path):
  rows = make.results(seeds=(0,))
  rows[3] |= {"value": float("nan")}
  run = make.run(tmp_path, rows)
  half = run / "seed_0/rotnet/round_04/sparsity.json"
  half.write_text(half.read_text()[:100])
  page, *files = report.write_report([run], tmp_path / "report.html")
  text = page.read_text()
  assert f"{run}/results.jsonl, line 4: value: found nan, expected" in text
  assert f"{half}: damaged: no JSON" in text
  assert {"retrained.png", "layers.png"} <= {f.name for f in files}
  assert text.count("could not be read") == 1


@pytest.mark.parametrize("field", ["dataset", "split", "model"])
def test_no_name_of_a_result_leaves_the_folder(field, make, tmp_path):
  folder = tmp_path / "a/b"
  runs = []
  for number, name in enumerate(("/../../x", "..", "y\n")):
    rows = [row | {field: name} for row in make.results(seeds=(number,))]
    runs.append(make.run(folder / str(number), rows))
  before = set(tmp_path.rglob("*"))
  files = report.write_report(runs, folder / "out/report.html")
  made = set(tmp_path.rglob("*")) - before
  assert made - {folder / "out", folder / "out/figures"} == {
    pathlib.Path(file) for file in files
  }
  assert all(folder / "out" in (path, *path.parents) for path in made)


def test_nothing_is_written_through_a_link(make, tmp_path):
  run = make.run(tmp_path / "run", make.results(seeds=(0,)))
  secret = tmp_path / "secret"
  secret.write_text("mine")
  (run / "report.html").symlink_to(secret)
  page, *_ = report.write_report([run], run / "report.html")
  assert secret.read_text() == "mine" and "<h1>" in page.read_text()
  shutil.rmtree(run / "figures")
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  (run / "figures").symlink_to(elsewhere)
  with pytest.raises(report.ResultsError, match="figures: found a link"):
    report.write_report([run], run / "report.html")
  assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
  "about, words",
  [
    ({"config": 5}, "config: found 5, expected fields"),
    ({"config": {"model": "x"}}, "model: found 'x', expected fields"),
    ({"config": {"variants": ["x"]}}, "variants: found"),
    ({"config": {"variants": {"../../x": {}}}}, "found the name '../../x'"),
    ({"config": {"model": {"name": 3}}}, "model.name: found 3"),
  ],
)
def test_a_hostile_configuration_is_one_line(about, words, make, tmp_path):
  run = make.run(tmp_path / "run", make.results(seeds=(0,)))
  (run / "config.json").write_text(json.dumps(about))
  with pytest.raises(report.ResultsError, match=f"config.json: .*{words}"):
    report.write_report([run], run / "report.html")


def test_a_name_that_is_no_utf8_is_escaped(make, tmp_path):
  rows = [row | {"dataset": "di\udcffgits"} for row in make.results(seeds=(0,))]
  run = make.run(tmp_path / "ru\udcffn", rows)
  page, *files = report.write_report([run], tmp_path / "report.html")
  assert "di\\udcffgits" in page.read_text()
  assert all(file.exists() for file in files)


def test_names_are_escaped(make, tmp_path):
  rows = [make.result("<b>", 0, "pretext", 0)]
  page, *_ = report.write_report(
    [make.run(tmp_path, rows)], tmp_path / "a.html"
  )
  assert "<b>," not in page.read_text()
  read(page)


def test_the_command_writes_beside_a_single_run(make, tmp_path, capsys):
  run = make.run(tmp_path, make.results(seeds=(0,)))
  assert command.main([str(run)]) == 0
  assert capsys.readouterr().out == f"{run}/report.html\n"
  assert (run / "figures" / "retrained.png").exists()


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["{0}/a", "{0}/b"], "several runs: say where with --out=PAGE"),
    (["{0}/a"], "no results: {0}/a/results.jsonl does not exist"),
    (["{0}/a", "--out={0}"], "{0} is a folder: name the page"),
  ],
)
def test_the_command_fails_in_one_line(tmp_path, capsys, arguments, message):
  assert command.main([a.format(tmp_path) for a in arguments]) == 1
  error = capsys.readouterr().err
  assert error.startswith("error: " + message.format(tmp_path))
  assert error.count("\n") == 1


def test_a_flag_that_there_is_none_of_exits_with_two(capsys):
  with pytest.raises(SystemExit) as error:
    command.main(["--outt=page.html", "run"])
  assert error.value.code == 2
  assert "error: unrecognized arguments: --outt" in capsys.readouterr().err


_LOADED = """
import atexit, sys
from sslprune_jax.report.__main__ import main
heavy, others = sys.argv.pop().split(","), ("report", "runtime", "workdir")
def say():
  parts = [name.split(".") for name in sys.modules]
  print("loaded", [p[0] for p in parts if p[0] in heavy and len(p) == 1],
        [p for p in parts if p[0] == "sslprune_jax" and p[1:]
         and p[1] not in others])
atexit.register(say)
main(sys.argv[1:])
"""


def test_a_report_loads_nothing_else_of_the_package(make, tmp_path):
  run = make.run(tmp_path / "run", make.results(seeds=(0,)))
  heavy = "scipy,sklearn,jax,jaxlib,flax,tensorflow"
  done = subprocess.run(
    [sys.executable, "-c", _LOADED, str(run), heavy],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith("loaded [] []\n"), done.stdout


def test_the_page_says_what_is_scored_on_training_images(make, tmp_path):
  rows = make.results(tasks=("deepcluster", "rotnet"), seeds=(0,))
  for row in rows:
    if row["task"] == "deepcluster" and row["stage"] == "pretext":
      row.update(split="train", n=1437)
  page, *_ = report.write_report(
    [make.run(tmp_path / "run", rows)], tmp_path / "p.html"
  )
  text = " ".join(page.read_text().split())
  assert "test split, of DeepCluster itself on training images." in text
  assert "1,437 (train)" in text and "360 (test)" in text
  assert "DeepCluster, the cluster that a training image was put into." in text
  assert text.count("<h2>convnet on digits</h2>") == 1


_SIMCLR = {
  "label": "SimCLR",
  "colour": "#123456",
  "problem": "the other view of the same image",
}


@pytest.mark.parametrize("said", [True, False])
def test_a_task_of_ones_own_is_shown_as_its_run_says(make, tmp_path, said):
  rows = make.results(tasks=("labels", "simclr"), seeds=(0, 1))
  rows = [row | {"fraction": 1.0, "layer": "features"} for row in rows]
  row = make.result("simclr", 0, "transfer", 5)
  row |= {"protocol": "knn", "target": "digits"}
  rows += [row | {"fraction": 1.0, "layer": "features"}]
  tasks = {"simclr": _SIMCLR} if said else None
  run = make.run(tmp_path / "run", rows, tasks=tasks)
  page, *files = report.write_report([run], tmp_path / "page.html")
  assert "retrained.png" in {file.name for file in files}
  text = read(page).text
  label = "SimCLR" if said else "simclr"
  for words in (
    f"Masks found by Labels and {label}, 2 seeds",
    f"{label}, winning ticket",
    f"{label}, {_SIMCLR['problem'] if said else 'simclr'}.",
    f"Layers at the last round of {label}",
  ):
    assert words in text, words
