"""What the page says of measured times."""

import json

import pytest

from sslprune_jax import report
from sslprune_jax.report import results, times


def lines_of(task="labels", seed=0, index=3, batch=1, dense=0.08, **ratios):
  """Returns what one call measured: the dense network, and ratios to it."""
  return [
    {
      **{"task": task, "seed": seed, "round": index, "kind": "trained"},
      **{"sha256": f"{task}{seed}{index}", "network": network},
      **{"engine": "xla", "threads": 1, "batch": batch, "device": "cpu, JAX 1"},
      **{"seconds": ratio * dense, "lower": 0.9 * ratio * dense},
      **{"upper": 1.1 * ratio * dense, "processor_seconds": ratio * dense},
      **{"memory": None if network == "masked" else 300_000_000},
      **{"of_dense_multiply_adds": ratio, "file_bytes": int(4e6 * ratio)},
    }
    for network, ratio in {"dense": 1.0, **ratios}.items()
  ]


@pytest.fixture
def run(make, tmp_path):
  run = make.run(tmp_path, make.results())

  def write(*lines):
    (run / "times.jsonl").write_text(
      "".join(json.dumps(line) + "\n" for line in lines)
    )
    return run

  return write


def collect(path):
  (run,) = results.read([path])
  return times.collect(run), results.name_tasks([run])


def test_a_row_is_a_network_beside_the_dense_one_of_its_call(run):
  path = run(
    *lines_of(masked=1.0, shrunk=0.5),
    # On a machine that is twice as slow for a while.
    *lines_of(index=6, dense=0.16, shrunk=0.25),
  )
  found, names = collect(path)
  assert not found.left_out
  table = times.tabulate(found, names)
  picked = ("round", "network", "ms", "of dense", "file (MB)", "memory (MB)")
  columns = [table.header.index(name) for name in picked]
  assert [[row[i] for i in columns] for row in table.rows] == [
    ["00", "dense", "160", "1.00", "4.00", "300"],
    ["03", "masked", "80", "1.00", "4.00", ""],
    ["03", "shrunk", "40", "0.50", "2.00", "300"],
    ["06", "shrunk", "40", "0.25", "1.00", "300"],
  ]


def test_a_network_is_worth_what_its_round_is_over_seeds(run):
  found, _ = collect(run(*lines_of(shrunk=0.5)))
  dense, shrunk = found.timings
  assert dense.round == 0 and shrunk.round == 3
  assert sorted(dense.quality) == sorted(shrunk.quality) == [0, 1, 2]
  assert dense.quality != shrunk.quality


def test_the_page_has_a_table_of_times_and_a_picture(run, tmp_path):
  path = run(*lines_of(masked=1.0, shrunk=0.5, int8=0.2), *lines_of(batch=32))
  files = report.write_report([path], tmp_path / "out" / "page.html")
  assert "times.png" in [file.name for file in files]
  page = files[0].read_text()
  assert "How fast they are" in page and "xla, 1 thread, 32 images" in page
  report.write_report([path], tmp_path / "page.html")
  (path / "times.jsonl").unlink()
  report.write_report([path], tmp_path / "page.html")
  assert "How fast they are" not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("seconds", 0, "seconds: found 0, expected a finite number above 0"),
    ("network", "sliced", "network: found 'sliced', expected one of dense, "),
    ("batch", "1", "batch: found '1', expected a whole number above 0"),
  ],
)
def test_a_line_that_is_no_time_is_left_out_by_name(field, value, words, run):
  first, *rest = lines_of(masked=1.0, shrunk=0.5)
  path = run(first, {**rest[0], field: value}, rest[1])
  found, _ = collect(path)
  assert [each.network for each in found.timings] == ["dense", "shrunk"]
  (said,) = found.left_out
  assert said.startswith(f"{path}/times.jsonl, line 2: {words}")


def test_a_file_that_is_no_json_is_left_out_by_name(run, tmp_path):
  path = run()
  (path / "times.jsonl").write_text("[")
  found, _ = collect(path)
  assert not found.timings and "times.jsonl" in found.left_out[0]
  page = report.write_report([path], tmp_path / "page.html")[0]
  assert f"{path}/times.jsonl" in page.read_text()
