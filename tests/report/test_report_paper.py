"""The paper's figures of made-up runs: layout, verdicts, files, refusals."""

import json

import numpy as np
import pytest

from sslprune_jax import report
from sslprune_jax.pruning import sparsity
from sslprune_jax.report import figures, names, paper, verdicts
from sslprune_jax.report.paper import overlaps, runs
from sslprune_jax.report.paper import page as page_lib


def _figure(make, path, name="fig3_masks", seeds=(0, 1, 2), **gaps):
  """Writes a run of a figure whose tickets lie below labels' by a gap."""
  variants = {task: {} for task in gaps}
  config = {
    "figure": name,
    "name": name,
    "dataset": {"name": "digits"},
    "variants": variants,
  }
  path.mkdir(parents=True)
  about = {"config": config, "versions": {"jax": "0", "python": "3"}}
  (path / "config.json").write_text(json.dumps({**about, "commit": "abc"}))
  for task, gap in gaps.items():
    rows = []
    for row in make.results((task,), seeds):
      row["value"] -= (
        gap * (row["round"] > 0) if row["stage"] != "pretext" else 0
      )
      rows.append({**row, "density_of_ranked": row["density"]})
    own = {
      "model": {"name": "convnet"},
      "dataset": {"name": "digits"},
      "prune": {"first_layers": 0},
      "train": {"learning_rate": 1.0 if task == "labels" else 2.0},
    }
    make.run(path / task, rows, config=own)
  layer = {"path": "trunk/a/kernel", "total": 100, "a": 50, "b": 40, "both": 30}
  pair = {"a": ["labels"] * 2, "b": ["rotnet"] * 2, "layers": [layer]}
  lines = [{"seed": s, "round": r, **pair} for s in seeds for r in (3, 7)]
  (path / "overlaps.jsonl").write_text(
    "".join(json.dumps(line) + "\n" for line in lines)
  )
  return path


@pytest.fixture
def run(make, tmp_path):
  return _figure(make, tmp_path / "run", labels=0.0, rotnet=0.1)


def test_a_gap_that_was_put_in_is_found_and_judged(run):
  (found,) = runs.read([run])
  drawn, judged = paper.FIGURES["fig3_masks"].draw(found)
  by_claim = {v.claim: v for v in judged}
  gap = by_claim["Label tickets are above RotNet tickets"]
  assert gap.verdict == "holds" and gap.found.mean > 0.09 and gap.found.n == 3
  match = by_claim["Re-initialised, masks of RotNet match label masks"]
  assert match.verdict == "does not hold" and match.found.mean < -0.09
  titles = [panel.title for panel in drawn]
  assert titles == [
    "Winning tickets",
    "Random re-inits",
    "Overlap with the label mask",
  ]


def test_the_overlap_stands_beside_that_of_chance(run):
  (found,) = runs.read([run])
  *_, overlap = paper.FIGURES["fig3_masks"].draw(found)[0]
  curves = {curve.init: curve for curve in overlap.curves}
  # 30 of 50 + 40 - 30 are shared; by chance 50 * 40 / 100 = 20 of 70.
  assert curves["rewind"].points[0].estimate.mean == 30 / 60
  assert curves["chance"].points[0].estimate.mean == 20 / 70
  assert curves["rewind"].points[0].density == 0.5


def test_what_is_drawn_is_what_the_rows_say(run):
  (found,) = runs.read([run])
  figure = figures.draw(paper.FIGURES["fig3_masks"].draw(found)[0], found.names)
  tickets = figure.axes[0]
  line = tickets.containers[0].lines[0]  # Labels come first.
  curve = found.curve("labels", "rewind")
  assert list(line.get_xdata()) == [100 * p.density for p in curve.points]
  assert list(line.get_ydata()) == [100 * p.estimate.mean for p in curve.points]
  assert tickets.get_xscale() == "log"
  (text,) = [legend.get_texts() for legend in figure.legends]
  said = {t.get_text() for t in text}
  assert {"Labels", "RotNet", "winning ticket", "random re-init"} <= said
  assert {"random mask", "dense network", "chance"} <= said


def test_the_page_says_what_was_varied_held_and_what_the_bars_are(run):
  files = report.write_report([run], run / "report.html")
  text = files[0].read_text()
  for words in (
    "Varied: the task that found the mask",
    "Held:",
    "standard error over seeds (n = 3)",
    "Student",
    "train.learning_rate",
    'href="rotnet/report.html"',
  ):
    assert words in text, words
  stem = run / "figures/fig3_masks_digits"
  assert {f.suffix for f in run.glob("figures/*")} == {".png", ".pdf", ".csv"}
  header = stem.with_suffix(".csv").read_text().splitlines()[0]
  assert header.startswith("panel,series,start,round,remaining,mean,")
  assert (run / "labels/report.html").exists()
  again = report.write_report([run], run / "report.html")
  assert stem.with_suffix(".pdf") in [type(stem)(f) for f in again]


def test_seeds_of_several_runs_are_joined_and_markdown_is_written(
  make, tmp_path
):
  gaps = {"labels": 0.0, "rotnet": 0.1}
  a = _figure(make, tmp_path / "a", seeds=(0, 1), **gaps)
  b = _figure(make, tmp_path / "b", seeds=(2, 3), **gaps)
  page, *_ = report.write_report([a, b], tmp_path / "docs/paper.md")
  text = page.read_text()
  assert "seeds 0, 1, 2, 3" in text and "| 3 |" in text  # One is drawn only.
  assert (
    "![Figure 3" in text
    and (tmp_path / "docs/figures/fig3_masks_digits.png").exists()
  )
  assert not (tmp_path / "docs/labels").exists()


def test_names_are_escaped_in_markdown_as_they_are_in_html(make, tmp_path):
  path = _figure(make, tmp_path / "run", labels=0.0, rotnet=0.1)
  about = json.loads((path / "config.json").read_text())
  hostile = "a|b\n# <script>x</script> [c](javascript:d) `e`"
  about["config"]["dataset"]["name"] = hostile
  for variant in ("labels", "rotnet"):
    file = path / variant / "config.json"
    own = json.loads(file.read_text())
    own["config"]["dataset"]["name"] = hostile
    file.write_text(json.dumps(own))
  (path / "config.json").write_text(json.dumps(about))
  page, *_ = report.write_report([path], tmp_path / "out/paper.md")
  text = page.read_text()
  assert "<script>" not in text and "[c](" not in text and "\n# <" not in text
  assert "a\\|b" in text and "\\`e\\`" in text
  rows = [line for line in text.splitlines() if line.startswith("| [Figure 3")]
  assert len(rows) == 1
  assert all(p.parent == tmp_path / "out/figures" for p in _[0:])


def test_an_unfinished_figure_judges_what_is_there(make, tmp_path):
  path = _figure(make, tmp_path / "run", labels=0.0, rotnet=0.1)
  lines = path / "rotnet/results.jsonl"
  kept = [x for x in lines.read_text().splitlines() if '"pretext"' in x]
  lines.write_text("\n".join(kept) + "\n")
  (found,) = runs.read([path])
  part = page_lib.draw_part(found)
  assert part.files
  judged = {v.claim: v.verdict for v in part.verdicts}
  own = [claim for claim in judged if "RotNet" in claim]
  assert own and {judged[claim] for claim in own} == {"undecided"}
  assert "undecided" not in {judged[claim] for claim in judged.keys() - own}


def test_a_figure_that_has_not_begun_stands_in_no_others_way(
  make, tmp_path, caplog
):
  begun = _figure(make, tmp_path / "run", labels=0.0)
  empty = _figure(make, tmp_path / "empty", name="fig7_rewind")
  (found,) = runs.read([empty, begun])
  assert found.paths == (begun,)
  assert f"left out: no variant of {empty} has finished" in caplog.text
  with pytest.raises(report.ResultsError, match="no results: no variant of"):
    runs.read([empty])


def test_variants_that_are_no_figure_of_the_paper_get_their_own_pages(
  make, tmp_path
):
  path = _figure(make, tmp_path / "run", name="", labels=0.0, rotnet=0.1)
  page, *_ = report.write_report([path], path / "report.html")
  assert 'href="labels/report.html"' in page.read_text()
  assert not (path / "figures").exists()


def test_what_cannot_be_joined_is_refused_in_a_line(make, run, tmp_path):
  plain = make.run(tmp_path / "plain", make.results())
  with pytest.raises(report.ResultsError, match="plain is a plain study"):
    report.write_report([run, plain], tmp_path / "page.html")
  with pytest.raises(report.ResultsError, match="ends in .html or .md"):
    report.write_report([run], tmp_path / "page.txt")
  (run / "overlaps.jsonl").write_text("{")
  with pytest.raises(report.ResultsError, match="overlaps.jsonl, line 1"):
    report.write_report([run], tmp_path / "page.html")


def test_overlaps_by_layer_are_means_over_seeds_at_the_last_round():
  def line(seed, index, both, other="rotnet"):
    layers = [
      {"path": "trunk/a/kernel", "total": 100, "a": 50, "b": 40, "both": both},
      {"path": "trunk/b/kernel", "total": 10, "a": 10, "b": 10, "both": 10},
    ]
    pair = {"a": ["labels", "labels"], "b": [other, other]}
    return {"seed": seed, "round": index, "layers": layers, **pair}

  lines = [line(0, 3, 40), line(0, 7, 30), line(1, 7, 10)]
  table = overlaps.by_layer(lines, names.collect())
  # (30 / 60 + 10 / 80) / 2, by chance 20 / 70.
  assert table.header == ["layer", "RotNet"]
  assert table.rows == [["a", "31 (29)"], ["b", "100 (100)"]]
  assert overlaps.by_layer([], names.collect()) is None
  assert overlaps.over_union(lines[1]["layers"], False) == 40 / 70


def test_few_labels_are_held_against_rotnet_and_not_the_other_way(
  make, tmp_path
):
  gaps = {"labels": 0, "rotnet": 0.18, "few_images": 0.06, "few_classes": 0.12}
  gaps |= {"s4l_few_images": 0, "s4l_few_classes": 0.24}
  path = _figure(make, tmp_path / "run", "fig5_few_labels", **gaps)
  (found,) = runs.read([path])
  judged = paper.FIGURES["fig5_few_labels"].draw(found)[1]
  fails = "does not hold"
  assert [v.verdict for v in judged] == [
    *("holds", "holds", "holds"),  # (a): over RotNet, S4L over both
    *("holds", fails, fails),  # (b): S4L lies below both
    "holds",  # (a) above (b)
  ]


def _with_chance(run, variant, dense, chance=0.25):
  """Gives the dense networks of a variant an accuracy, and chance."""
  file = run / variant / "results.jsonl"
  rows = [json.loads(line) for line in file.read_text().splitlines()]
  for row in rows:
    if row["stage"] == "pretext":
      row["chance"] = chance
      row["value"] = row["value"] if row["round"] else dense
  file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(("dense", "learnt"), [(0.43, False), (0.44, True)])
def test_masks_of_a_network_that_guesses_are_not_judged(
  dense, learnt, make, tmp_path
):
  path = _figure(make, tmp_path / "run", labels=0, rotnet=0.1, exemplar=0.1)
  _with_chance(path, "labels", 0.9, chance=0.1)
  _with_chance(path, "rotnet", dense)
  (found,) = runs.read([path])
  judged = paper.FIGURES["fig3_masks"].draw(found)[1]
  of_rotnet = {v.verdict for v in judged if "RotNet" in v.claim}
  assert (verdicts.WITHHELD in of_rotnet) != learnt
  others = {v.verdict for v in judged if "RotNet" not in v.claim}
  assert verdicts.WITHHELD not in others
  if not learnt:
    assert of_rotnet == {verdicts.WITHHELD}
    page = page_lib.render([page_lib.draw_part(found)], "md", False)
    assert "5 not judged" in page
    assert (
      "dense RotNet is right on 43.0% of its own task, chance is 25.0%: "
      "expected at least 43.8%" in page
    )


@pytest.mark.parametrize("figure", ["fig1_transfer", "fig2_when_to_prune"])
@pytest.mark.parametrize(("untrained", "learnt"), [(0.7, True), (0.95, False)])
def test_features_that_are_no_better_than_an_untrained_networks_are_not_judged(
  figure, untrained, learnt, make, tmp_path
):
  path = _figure(make, tmp_path / "run", figure, labels=0.0, rotnet=0.0)
  for task in ("labels", "rotnet"):
    rows = []
    for protocol in ("finetune", "prune", "linear"):
      fields = {
        "protocol": protocol,
        "target": "digits",
        "fraction": 1.0,
        "layer": "features",
      }
      of = {"stage": "transfer", "density_of_ranked": 1.0, **fields}
      rows += [
        make.result(task, seed, index=index, **of)
        for seed in (0, 1, 2)
        for index in (0, 3, 18)
      ]
      rows += [
        make.result("random", seed, index=0, value=untrained, **of)
        for seed in (0, 1, 2)
      ]
    for row in rows:
      row["density_of_ranked"] = row["density"]
    (path / task / "results.jsonl").write_text(
      "".join(json.dumps(row) + "\n" for row in rows)
    )
  (found,) = runs.read([path])
  judged = paper.FIGURES[figure].draw(found)[1]
  assert judged
  withheld = [v for v in judged if v.verdict == verdicts.WITHHELD]
  assert len(withheld) == (0 if learnt else len(judged))
  for v in withheld:
    assert "not shown to be above an untrained one" in v.test


def test_what_training_drove_to_zero_is_drawn_and_judged(make, tmp_path):
  run = _figure(make, tmp_path / "run", "fig6_natural_sparsity", labels=0.0)
  kernel = np.full(100, 0.1, np.float32)
  kernel[:70] = 1e-20
  params = {"trunk": {"conv": {"kernel": kernel}}}
  masks = {"trunk": {"conv": {"kernel": np.ones(100, bool)}}}
  found = sparsity.magnitudes(params, masks)
  for seed in (0, 1, 2):
    folder = run / f"labels/seed_{seed}/labels/round_00"
    (folder / "magnitudes.json").write_text(json.dumps(found))
  (read,) = runs.read([run])
  drawn, judged = paper.FIGURES["fig6_natural_sparsity"].draw(read)
  weights, pruned = drawn
  assert weights.shares["labels"][0] == pytest.approx(0.7)  # Below all bins.
  assert pruned.natural == pytest.approx(0.3) and pruned.dense
  zero, lossless, controls = judged
  assert zero.verdict == "holds" and zero.found.mean == pytest.approx(0.7)
  assert "down to 51 % remaining" in lossless.test  # Next: 21 % < 30 %.
  assert lossless.verdict == "holds"
  assert controls.verdict == "undecided"  # No adjusted masks were retrained.


def test_a_figure_without_retrained_masks_has_no_picture_yet(make, tmp_path):
  path = _figure(make, tmp_path / "run", labels=0.0)
  (path / "overlaps.jsonl").unlink()
  results = path / "labels/results.jsonl"
  lines = results.read_text().splitlines(keepends=True)
  results.write_text("".join(x for x in lines if '"pretext"' in x))
  (found,) = runs.read([path])
  part = page_lib.draw_part(found)
  assert part.files == {}
  assert {v.verdict for v in part.verdicts} == {"undecided"}
  assert "nothing tested yet" not in page_lib.render([part], "md", False)


def test_a_variant_of_ones_own_task_is_named_by_its_run(make, tmp_path):
  path = _figure(make, tmp_path / "run", labels=0.0, simclr=0.1)
  file = path / "simclr/config.json"
  row = {"label": "SimCLR", "colour": "#123456"}
  about = json.loads(file.read_text()) | {"tasks": {"simclr": row}}
  file.write_text(json.dumps(about))
  (found,) = runs.read([path])
  assert found.names.style("simclr")[0] == "#123456"
  _, judged = paper.FIGURES["fig3_masks"].draw(found)
  assert "Label tickets are above SimCLR tickets" in {v.claim for v in judged}
