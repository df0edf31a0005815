"""What the benchmarks name in the package is there."""

import json
import pathlib
import runpy

_BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"


def test_every_function_that_the_profile_times_exists():
  profile = runpy.run_path(str(_BENCHMARKS / "study_profile.py"))
  names = [name for of in profile["PARTS"].values() for name in of]
  assert names and all(callable(profile["find"](name)[-1]) for name in names)


def test_the_page_of_the_pilot_is_what_its_numbers_say():
  pilot = runpy.run_path(str(_BENCHMARKS / "pilot_power.py"))
  page = pilot["PAGE"].read_text()
  assert pilot["write"]() == page
  # A row as docs/paper/digits.md has it: 1.2 +- 0.7, over 3 seeds.
  assert (
    "| RotNet tickets are above random masks | 1.1 | 1.1 | 0.4 | 7 |" in page
  )


def test_the_page_of_benchmarks_is_what_its_numbers_say(monkeypatch):
  monkeypatch.syspath_prepend(_BENCHMARKS)
  page = runpy.run_path(str(_BENCHMARKS / "page.py"))
  text = (page["FOUND"].parent / "benchmarks.md").read_text()
  assert page["render"](json.loads(page["FOUND"].read_text())) == text
