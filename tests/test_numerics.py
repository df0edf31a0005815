"""One update of each task, held to numbers that only NUMERICS may move.

When they move, the bits of every study do: raise `training.step.NUMERICS`, run
`python benchmarks/updates.py`, and say in the commit why. The bits themselves
depend on the machine; `benchmarks/golden.py` compares them.
"""

import pathlib
import runpy

import pytest

from sslprune_jax.training import step as step_lib

_UPDATES = runpy.run_path(
  str(pathlib.Path(__file__).parent.parent / "benchmarks/updates.py")
)


@pytest.mark.parametrize(
  "name",
  [
    *_UPDATES["TASKS"],
    *(pytest.param(n, marks=pytest.mark.slow) for n in _UPDATES["NETWORKS"]),
  ],
)
def test_an_update_ends_in_the_numbers_that_numerics_stands_for(name):
  golden = _UPDATES["stored"]()
  assert golden["numerics"] == step_lib.NUMERICS
  expected, found = golden[name], _UPDATES["update"](name)
  message = "raise NUMERICS if this is meant: see the head of this file"
  assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5), message
  # Deep networks pass rounding on; what is below is rounding alone.
  rel, least = (1e-5, 1e-8) if name in _UPDATES["TASKS"] else (0.03, 1e-5)
  assert found["norms"] == pytest.approx(
    expected["norms"], rel=rel, abs=least
  ), message
