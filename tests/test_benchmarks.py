"""What the benchmarks name in the package is there."""

import pathlib
import runpy

_BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"


def test_every_function_that_the_profile_times_exists():
  profile = runpy.run_path(str(_BENCHMARKS / "study_profile.py"))
  names = [name for of in profile["PARTS"].values() for name in of]
  assert names and all(callable(profile["find"](name)[-1]) for name in names)
