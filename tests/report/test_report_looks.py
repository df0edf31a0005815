"""On which seeds figures are judged: at numbers of them fixed beforehand."""

import dataclasses
import statistics

import pytest
from etils import epath
from made_up import figure_run

from sslprune_jax.config.figures import LOOKS, PILOT
from sslprune_jax.report import inference, paper
from sslprune_jax.report.paper import joining, looks
from sslprune_jax.report.paper import page as page_lib
from sslprune_jax.report.verdicts import NO_DIFFERENCE, WITHHELD

FIGURE = "fig2_when_to_prune"


def _judge(seeds, dataset="digits_half"):
  """Returns how many seeds are judged, what is said, and the run."""
  run = figure_run(FIGURE, dataset, lambda *_: 0.9, seeds)
  judged, said = looks.judge(paper.FIGURES[FIGURE], run)
  return {v.found.n if v.found else v.verdict for v in judged}, said, run


@pytest.mark.parametrize(
  ("seeds", "n", "said"),
  [
    (range(3), 3, "A pilot, judged on seeds 0 to 2."),
    (range(14), 3, "A pilot, judged on seeds 0 to 2."),
    (range(15), 12, "Judged on seeds 3 to 14"),
    (range(3, 15), 12, "Judged on seeds 3 to 14"),
    (range(26), 12, "Judged on seeds 3 to 14"),
    (range(40), 24, "Judged on seeds 3 to 26"),
    ([*range(3, 9), *range(10, 30)], WITHHELD, ""),  # Seed 9 is not there.
    ((1,), 1, "A pilot, judged on seeds 1."),
  ],
)
def test_verdicts_are_formed_at_the_planned_numbers_alone(seeds, n, said):
  found, sentence, run = _judge(seeds)
  assert found == {n}
  assert sentence.startswith(said) and bool(sentence) == bool(said)
  curve = run.transfers[0].curves[0]  # What is drawn is of all seeds.
  assert curve.points[0].estimate.n == len(seeds)


def test_each_set_has_its_plan_and_the_papers_sets_have_none():
  assert _judge(range(3, 8), "fashion_mnist")[0] == {5}
  assert _judge(range(3, 7), "cifar10")[:2] == ({4}, "")
  # The level is for two looks, the second of twice as many seeds.
  assert PILOT == (0, 1, 2) and inference.LEVEL == 0.9706
  assert LOOKS == {"digits_half": (12, 24), "fashion_mnist": (5, 10)}


def test_what_the_pilot_was_run_on_is_judged_as_a_pilot_whatever_its_seeds():
  found, said, _ = _judge(range(30), "digits")
  assert found == {3}
  assert said == (
    "A pilot, judged on seeds 0 to 2. Verdicts that count are formed at 12 and "
    "at 24 seeds from 3 on, of digits_half."
  )
  assert _judge(range(3, 30), "digits")[0] == {WITHHELD}


def test_a_look_waits_for_every_variant(monkeypatch):
  run = figure_run("fig4_depth", "digits_half", lambda *_: 0.9, range(3, 15))
  monkeypatch.setattr(joining, "variants_of", lambda path: [*run.variants])
  figure = paper.FIGURES["fig4_depth"]
  there = dataclasses.replace(run, paths=(epath.Path("run"),))
  assert looks.judge(figure, there)[1].startswith("Judged on seeds 3 to 14")
  deepest = [name for name in run.variants if not name.endswith("_all")]
  part = {name: run.variants[name] for name in deepest}
  judged, said = looks.judge(figure, dataclasses.replace(there, variants=part))
  assert not said and {v.verdict for v in judged} <= {WITHHELD}
  assert not any("everywhere" in v.claim for v in judged)


def test_a_look_waits_until_its_seeds_are_finished():
  run = figure_run(FIGURE, "digits_half", lambda *_: 0.9, range(3, 15))
  rows = run.variants["rotnet"][0].rows
  rows.remove([row for row in rows if row["seed"] == 14][-1])
  judged, _ = looks.judge(paper.FIGURES[FIGURE], run)
  assert {v.verdict for v in judged} == {WITHHELD}
  assert judged[0].test == (
    "too few seeds are finished: verdicts are formed at 12 and at 24 seeds "
    "from 3 on"
  )


def _cut(run, last, *variants):
  """Takes away what the masks of later rounds reach, of every seed."""
  for name in variants:
    rows = run.variants[name][0].rows
    rows[:] = [row for row in rows if row["round"] <= last]


@pytest.mark.parametrize("figure", ["fig4_depth", "fig7_rewind"])
def test_a_look_waits_until_every_round_of_its_seeds_is_finished(figure):
  run = figure_run(figure, "digits_half", lambda *_: 0.9, range(3, 15))
  assert looks.judge(paper.FIGURES[figure], run)[1].startswith("Judged on")
  _cut(run, 6, list(run.variants)[-1])
  judged, said = looks.judge(paper.FIGURES[figure], run)
  assert {v.verdict for v in judged} == {WITHHELD} and not said


def test_without_looks_the_rounds_that_all_have_are_compared():
  def level(variant, start, index):
    del start
    return 0.9 - 0.01 * index * (variant != "labels_all")

  run = figure_run("fig4_depth", "cifar10", level, range(3))
  _cut(run, 5, "labels_all", "rotnet_all")
  rounds = {row["round"] for row in run.rows("rotnet_all", "retrain")} - {0}
  judged, _ = looks.judge(paper.FIGURES["fig4_depth"], run)
  # Beside conv1, whose curves are one, the gap of all is of the same rounds.
  gap = 0.01 * statistics.fmean(rounds)
  assert [v.found.mean for v in judged] == pytest.approx([0, gap, gap])

  run = figure_run("fig7_rewind", "cifar10", lambda *_: 0.9, range(3))
  for rows in (run.variants[name][0].rows for name in run.variants):
    for row in rows:
      row["value"] -= 0.01 * row["round"]
  whole = looks.judge(paper.FIGURES["fig7_rewind"], run)[0]
  _cut(run, 5, "share")
  assert looks.judge(paper.FIGURES["fig7_rewind"], run)[0][0].found.mean == (
    pytest.approx(whole[0].found.mean, abs=1e-3)
  )


def test_magnitudes_are_of_the_judged_seeds_too():
  where = "fig6_natural_sparsity", "digits_half"
  run = figure_run(*where, lambda *_: 0.9, range(15))
  judged, _ = looks.judge(paper.FIGURES[run.name], run)
  assert judged[0].found.n == 12


def test_the_page_says_what_would_decide_and_what_it_was_judged_on():
  def level(variant, start, index):
    return 0.9 if start == "finetune" else 0.9 + noise.pop()

  noise = [0.0, 0.05, -0.05] * 26
  run = figure_run(FIGURE, "digits", level)
  part = page_lib.draw_part(run)
  undecided = [v for v in part.verdicts if v.seeds]
  assert undecided
  for kind in ("md", "html"):
    text = page_lib.render([part], kind, False)
    assert (
      f"undecided: {undecided[0].seeds} seeds would decide 2 points" in text
    )
    assert (
      "97 % interval" in text and "A pilot, judged on seeds 0 to 2." in text
    )


def _with_losses(figure, seeds, loss):
  """Returns a made-up run with lines of losses, a function of the start."""
  run = figure_run(figure, "digits_half", lambda *_: 0.9, seeds)
  for (one,) in run.variants.values():
    one.rows.extend(
      {**row, "metric": "loss", "value": loss(row)} for row in [*one.rows]
    )
  return run


def test_losses_stand_beside_accuracies_on_the_seeds_that_are_judged():
  run = _with_losses(
    FIGURE,
    range(20),
    lambda row: 0.4 + 0.1 * (row["protocol"] == "prune") * (row["seed"] < 15),
  )
  judged, _ = looks.judge(paper.FIGURES[FIGURE], run)
  for verdict in judged:
    # Pruned before, the loss is less by 0.1: better.
    assert verdict.likelihood.mean == pytest.approx(0.1)
    assert verdict.likelihood.n == verdict.found.n == 12
    assert verdict.verdict == NO_DIFFERENCE  # Decided by accuracies alone.
  table = page_lib.verdict_table(judged)
  assert [row[5] for row in table.rows] == ["0.100 ± 0.000"] * 2
  assert table.header[5] == "log-likelihood (nats)"
  part = page_lib.draw_part(run)
  for kind in ("md", "html"):
    text = page_lib.render([part], kind, False)
    assert "log-likelihood (nats)" in text and "0.100 ± 0.000" in text


def test_there_is_no_such_column_without_losses_nor_a_number_of_what_has_none():
  judged, _ = looks.judge(paper.FIGURES[FIGURE], _judge(range(3))[2])
  header = page_lib.verdict_table(judged).header
  assert not [text for text in header if "likelihood" in text]
  loss = {"random": 0.6, "rewind": 0.5, "reinit": 0.5, "adjusted": 0.5}
  run = _with_losses(
    "fig6_natural_sparsity", range(3), lambda row: loss[row["init"]]
  )
  judged, _ = looks.judge(paper.FIGURES[run.name], run)
  assert [v.likelihood is None for v in judged] == [True, False, False]


def test_a_figure_without_results_of_retraining_is_undecided():
  run = figure_run("fig7_rewind", "digits_half", lambda *_: 0.9).only(())
  judged, _ = looks.judge(paper.FIGURES[run.name], run)
  assert [v.found for v in judged] == [None]
