"""The comparison of `benchmarks/golden.py`, on workdirs made up for it."""

import importlib
import json
import pathlib
import runpy
import subprocess

import numpy as np
import pytest

_BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"
_compare = runpy.run_path(str(_BENCHMARKS / "golden_compare.py"))["compare"]
_TICKET = "seed_0/rotnet/round_01/trained.npz"
_METRICS = "seed_0/rotnet/round_01/metrics.jsonl"


def _write_lines(path, lines):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _write_ticket(path, **changes):
  arrays = {
    "mask/trunk/kernel": np.packbits(np.array([1, 0, 1, 1, 0, 1], bool)),
    "params/trunk/kernel": np.array([1.0, 2.0, 0.0, 4.0], np.float32),
    "meta": np.frombuffer(b'{"seed": 0}', np.uint8),
  }
  np.savez(path, **(arrays | changes))


def _write_workdir(workdir):
  score = {"seed": 0, "round": 1, "metric": "loss"}
  values = (0.5, float("nan"))
  _write_lines(
    workdir / "results.jsonl", [{**score, "value": value} for value in values]
  )
  _write_lines(
    workdir / _METRICS,
    [
      {"update": 4, "loss": 0.25, "seconds": float(len(str(workdir)))},
      {"update": 4, "event": "evaluation", "accuracy": 0.5},
    ],
  )
  _write_ticket(workdir / _TICKET)


@pytest.fixture
def sides(tmp_path):
  """Two workdirs with the same results."""
  both = tmp_path / "before", tmp_path / "after_that"
  for workdir in both:
    _write_workdir(workdir)
  return both


def test_the_same_results_are_counted_and_nothing_differs(sides):
  found = _compare(*sides)
  assert not found.differences and not found.notes
  assert (found.lines, found.tickets, found.arrays) == (2, 1, 2)


def _flip_a_bit_of_a_mask(workdir):
  flipped = np.packbits(np.array([1, 0, 1, 1, 1, 1], bool))
  _write_ticket(workdir / _TICKET, **{"mask/trunk/kernel": flipped})


def _change_a_weight(workdir):
  weights = np.array([1.0, 2.0, 0.0, np.nextafter(np.float32(4), 5)])
  weights = weights.astype(np.float32)
  _write_ticket(workdir / _TICKET, **{"params/trunk/kernel": weights})


def _negate_a_zero(workdir):
  weights = np.array([1.0, 2.0, -0.0, 4.0], np.float32)
  _write_ticket(workdir / _TICKET, **{"params/trunk/kernel": weights})


def _change_a_dtype(workdir):
  weights = np.array([1.0, 2.0, 0.0, 4.0], np.float64)
  _write_ticket(workdir / _TICKET, **{"params/trunk/kernel": weights})


def _add_an_array(workdir):
  _write_ticket(workdir / _TICKET, **{"params/trunk/bias": np.zeros(1)})


def _remove_the_ticket(workdir):
  (workdir / _TICKET).unlink()


def _change_a_value(workdir):
  path = workdir / "results.jsonl"
  first, second = _lines(path)
  _write_lines(path, [{**first, "value": 0.5 + 2**-53}, second])


def _remove_a_line(workdir):
  path = workdir / "results.jsonl"
  _write_lines(path, _lines(path)[:1])


def _remove_the_results(workdir):
  (workdir / "results.jsonl").unlink()


def _change_a_metric(workdir):
  path = workdir / _METRICS
  first, second = _lines(path)
  _write_lines(path, [{**first, "loss": 0.26}, second])


def _remove_an_event(workdir):
  path = workdir / _METRICS
  _write_lines(path, _lines(path)[:1])


@pytest.mark.parametrize(
  "change, words",
  [
    (_flip_a_bit_of_a_mask, ["mask/trunk/kernel: 1 bits of 8 differ"]),
    (_change_a_weight, ["params/trunk/kernel: 1 of 4 values", "4.77e-07"]),
    (_negate_a_zero, ["params/trunk/kernel: 1 of 4 values", "by at most 0"]),
    (_change_a_dtype, ["params/trunk/kernel: float32[4] before, float64[4]"]),
    (_add_an_array, ["params/trunk/bias: there now only"]),
    (_remove_the_ticket, [f"{_TICKET}: there before only"]),
    (_change_a_value, ["results.jsonl, line 1 (seed 0, round 1, metric loss)"]),
    (_remove_a_line, ["results.jsonl: 2 lines before, 1 now"]),
    (_remove_the_results, ["results.jsonl: there before only"]),
    (_change_a_metric, ["update 4: loss: 0.25 before, 0.26 now"]),
    (_remove_an_event, ["evaluation of update 4: there before only"]),
  ],
)
def test_a_change_is_named(sides, change, words):
  change(sides[1])
  (line,) = _compare(*sides).differences
  assert all(word in line for word in words), line


def test_what_is_added_is_a_note_and_no_difference(sides):
  _, now = sides
  path = now / "results.jsonl"
  first, *rest = [{**line, "criterion": "snip"} for line in _lines(path)]
  _write_lines(path, [first, {**first, "metric": "accuracy"}, *rest])
  _write_ticket(now / _TICKET, meta=np.frombuffer(b'{"version": 2}', np.uint8))
  more = {"update": 4, "event": "masks", "alive": 1.0}
  _write_lines(now / _METRICS, [*_lines(now / _METRICS), more])
  found = _compare(*sides)
  assert found.differences == []
  assert found.notes == {
    "results.jsonl: field criterion: there now only",
    "results.jsonl: metric accuracy: there now only",
    "metrics.jsonl: more lines now",
  }


def _git(repository, *arguments):
  return subprocess.run(
    ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
    cwd=repository,
    check=True,
    capture_output=True,
    text=True,
  ).stdout.strip()


def test_the_commit_that_last_raised_numerics_is_found(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(_BENCHMARKS)
  raised = importlib.import_module("golden").raised
  _git(tmp_path, "init")
  step = tmp_path / "sslprune_jax/training/step.py"
  step.parent.mkdir(parents=True)
  found = []
  for text in (
    "x = 1\n",  # There is no number yet,
    "NUMERICS = 0\n",  # then that of the first results.
    "NUMERICS = 1\n",
    "NUMERICS = 1  # a comment\n",
    "x = 2\nNUMERICS = 1\n",
    "NUMERICS = 2\n",
    "NUMERICS = 1\n",  # reverted
  ):
    step.write_text(text)
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "one")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    found.append((raised(tmp_path), commit))
  first, raises = "57e8978", [commit for _, commit in found]
  expected = [first, first, *[raises[2]] * 3, *[raises[5]] * 2]
  assert [commit for commit, _ in found] == expected
