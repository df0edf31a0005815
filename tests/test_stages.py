"""Stages: what is done is a result, and no other is."""

import pytest
from etils import epath

from sslprune_jax.runtime.errors import DivergedError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import results, stages


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_finite_number_is_no_result(value, tmp_path):
  folder = "seed_0/rotnet/round_00"
  lines = [{"metric": "accuracy", "value": 0.5, "density": 1.0}]
  lines.append(lines[0] | {"metric": "loss", "value": value})
  progress = Progress()
  progress.start(1)
  with pytest.raises(
    DivergedError, match=f"{folder}: loss: found {value}, exp"
  ):
    stages.run_once(epath.Path(tmp_path), folder, 1, lambda: lines, progress)
  progress.close()
  assert not results.exists(epath.Path(tmp_path) / folder)
