"""What the figures draw."""

import numpy as np
import pytest

from sslprune_jax.report import curves, figures, layers, names, panels

NAMES = names.collect()


def legend(figure):
  return [text.get_text() for text in figure.legends[0].get_texts()]


def group(rows, stage):
  return curves.group([dict(row, run="r") for row in rows], stage)


def draw(curves, make_panel=panels.retraining_panel, **more):
  return figures.draw([make_panel("", curves, **more)], NAMES)


def test_retrained_has_a_line_a_start_and_the_dense_one(make):
  curves = group(make.results(), "retrain")
  figure = draw(curves, dense=curves[0])
  (axes,) = figure.axes
  assert axes.get_xscale() == "log"
  left, right = axes.get_xlim()
  assert left > 100 > right  # dense on the left, as the literature has it
  assert len(axes.containers) == 5
  assert legend(figure) == [
    "Labels",
    "RotNet",
    "winning ticket",
    "random re-init",
    "random mask",
    "dense network",
  ]
  ticks = [text.get_text() for text in axes.get_xticklabels()]
  assert set(ticks) == {"100", "51", "21", "8.6", "3.5", "1.8"}


def test_retrained_points_and_bars_are_percents(make):
  values = (0.6, 0.7, 0.8)
  rows = [
    make.result("rotnet", seed, "retrain", index, "rewind", value=value)
    for seed, value in enumerate(values)
    for index in (0, 5)
  ]
  (axes,) = draw(group(rows, "retrain")).axes
  line, _, (bars,) = axes.containers[0]
  points = [[100, 70], [32.77, 70]]
  np.testing.assert_allclose(line.get_xydata(), points, rtol=1e-3)
  ends = bars.get_segments()[0][:, 1]
  np.testing.assert_allclose(ends, [70 - 5.7735, 70 + 5.7735], rtol=1e-4)


def test_tickets_are_filled_and_re_inits_open(make):
  (axes,) = draw(group(make.results(), "retrain")).axes
  ticket, reinit = (container[0] for container in axes.containers[:2])
  assert ticket.get_color() == reinit.get_color()
  assert ticket.get_linestyle() == "-"
  assert reinit.get_linestyle() == "--"
  assert reinit.get_markerfacecolor() == "white"
  assert ticket.get_markerfacecolor() == ticket.get_color()


def test_one_seed_has_no_bars(make):
  curve = group(make.results(seeds=(0,)), "retrain")
  (axes,) = draw(curve).axes
  _, _, (bars,) = axes.containers[0]
  assert all(np.isnan(s[:, 1]).all() for s in bars.get_segments() if len(s))


@pytest.mark.parametrize(("value", "chance"), [(0.3, 1), (0.9, 0)])
def test_chance_is_drawn_where_rotations_come_near_it(make, value, chance):
  rows = [
    make.result("rotnet", 0, "pretext", index, value=value)
    for index in range(9)
  ]
  figure = draw(group(rows, "pretext"), panels.pretext_panel)
  assert len(figure.axes[0].containers) == 1
  assert legend(figure)[1:] == ["chance, 4 angles"] * chance


@pytest.mark.parametrize("count", [4, 53])
def test_layers_have_a_panel_a_task_and_a_colour_bar(make, count):
  densities = {
    task: [
      (
        0.8**i,
        {f"trunk/l{k}/kernel": 0.8 ** (i * k / 20) for k in range(count)},
      )
      for i in range(8)
    ]
    for task in ("labels", "rotnet", "npid")
  }
  figure = layers.draw(densities, NAMES)
  *panels, bar = figure.axes
  assert [p.get_title() for p in panels] == ["Labels", "RotNet", "NPID"]
  assert [len(p.lines) for p in panels] == [count + 1] * 3
  assert {p.get_yscale() for p in panels} == {"log"}
  names = [text.get_text() for text in bar.get_yticklabels()]
  assert names[0] == ("l0" if count == 4 else "1")
  assert len(names) == (4 if count == 4 else 6)


def test_an_emptied_layer_is_drawn_without_a_warning():
  rounds = [(0.5**i, {"a": 0.5**i, "b": float(i < 2)}) for i in range(4)]
  assert figures.png(layers.draw({"rotnet": rounds}, NAMES))[1:4] == b"PNG"


def test_a_single_dense_point_makes_a_figure(make):
  rows = [make.result("rotnet", 0, "retrain", 0, "rewind")]
  assert figures.png(draw(group(rows, "retrain")))[1:4] == b"PNG"


def test_a_legend_names_series_then_starts_then_lines_once(make):
  curves = group(make.results(), "retrain")
  tickets, others = [
    [c for c in curves if (c.init == "rewind") is first]
    for first in (False, True)
  ]
  figure = figures.draw(
    [
      panels.retraining_panel("a", tickets, natural=0.5),
      panels.retraining_panel("b", others, dense=others[0]),
    ],
    NAMES,
  )
  assert legend(figure) == [
    "Labels",
    "RotNet",
    "winning ticket",
    "random re-init",
    "random mask",
    "natural sparsity",
    "dense network",
  ]
  assert [axes.get_title() for axes in figure.axes] == ["a", "b"]


def test_a_start_that_no_figure_has_a_line_for_is_not_drawn(make):
  rows = [make.result("rotnet", 0, "retrain", 5, "trained")]
  panel = panels.retraining_panel("", group(rows, "retrain"))
  assert panel.curves == ()
