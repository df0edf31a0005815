"""What tasks, starts and protocols are called, and their colours."""

import pytest

from sslprune_jax.report import names

FIRST = ("labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster")
SIMCLR = {"label": "SimCLR", "colour": "#123456", "problem": "the other view"}


def test_tasks_of_the_first_version_have_their_names_and_colours():
  known = names.collect([{}], ["rotnet"])
  assert known.label("rotnet") == "RotNet"
  assert known.style("rotnet") == ("#D55E00", "s")
  assert known.problem("rotnet").startswith("the angle of four")
  assert known.label("s4l_few_images") == "S4L, few images"
  assert known.style("s4l_few_images") == known.style("s4l")
  assert len({known.style(task) for task in FIRST}) == 6


def test_a_run_says_what_its_task_is_called():
  known = names.collect([{"simclr": SIMCLR}], ["simclr"])
  assert known.label("simclr") == "SimCLR"
  assert known.problem("simclr") == "the other view"
  colour, marker = known.style("simclr")
  assert colour == "#123456"
  assert marker not in {known.style(task)[1] for task in FIRST}


def test_what_a_run_says_of_a_known_task_counts_and_the_first_run_decides():
  runs = [{"rotnet": {"label": "Turns"}}, {"rotnet": {"label": "Angles"}}]
  known = names.collect(runs, ["rotnet"])
  assert known.label("rotnet") == "Turns"
  assert known.style("rotnet") == ("#D55E00", "s")


@pytest.mark.parametrize("said", [{}, {"simclr": {"colour": "#882255"}}])
def test_a_task_that_no_one_knows_has_its_own_name_and_colour(said):
  others = ["moco", "byol", "simclr", "jigsaw"]
  known = names.collect([said], [*FIRST, *others])
  assert [known.label(task) for task in others] == others
  assert known.problem("moco") == "moco"
  colours = [known.style(task)[0] for task in (*FIRST, *others)]
  assert len(set(colours)) == len(colours)
  # Whatever else is on the page, in whatever order.
  again = names.collect([said], [*others[::-1], *FIRST])
  assert [again.style(task)[0] for task in (*FIRST, *others)] == colours


def test_more_tasks_than_colours_are_still_drawn():
  many = [f"task{i}" for i in range(40)]
  known = names.collect([], many)
  first = {known.style(task)[0] for task in FIRST}
  assert not first & {known.style(task)[0] for task in many}


def test_starts_that_no_one_knows_stand_as_they_are():
  assert names.label_start("rewind") == "winning ticket"
  assert names.label_start("trained") == "trained"
