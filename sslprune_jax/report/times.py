"""How long a study's networks take, as `sslprune time` measured it."""

import collections
import dataclasses
import operator

from sslprune_jax import workdir
from sslprune_jax.report import forms, words
from sslprune_jax.report.curves import estimate
from sslprune_jax.report.names import METRICS, Names
from sslprune_jax.report.records import ResultsError, read_json_lines
from sslprune_jax.report.results import Run
from sslprune_jax.report.size_tables import label
from sslprune_jax.report.sizes import judgements
from sslprune_jax.report.tables import Table

NETWORKS = ("dense", "masked", "shrunk", "int8")

Way = tuple[str, int, int, str]  # engine, threads, batch, device


@dataclasses.dataclass(frozen=True)
class Timing:
  """One network, computed in one way.

  Attributes:
    task: task whose training pruned it.
    round: round of pruning; that of "dense" is 0.
    network: one of `NETWORKS`.
    way: engine, threads, batch and device.
    line: what was measured, a line of times.jsonl.
    of_dense: median time over that of the dense network, measured beside it.
    quality: seed -> what the network is worth; {} where it was not judged.
  """

  task: str
  round: int
  network: str
  way: Way
  line: dict
  of_dense: float
  quality: dict[int, float]


@dataclasses.dataclass(frozen=True)
class Times:
  """What was measured of the networks of a run.

  Attributes:
    measure: what their quality is.
    timings: one a network and way, by task, way and round; one "dense" each.
    left_out: sentences on lines that cannot be read.
  """

  measure: str
  timings: list[Timing]
  left_out: list[str]


def collect(run: Run) -> Times:
  """Reads how long the networks of a run take, and joins what they are worth.

  Args:
    run: a workdir.
  """
  lines, left_out = _read(run)
  measure, values = _qualities(run)
  dense = {_key(line): line for line in lines if line["network"] == "dense"}
  found = {}
  for line in lines:
    if _key(line) not in dense:
      continue
    is_dense = line["network"] == "dense"
    index = 0 if is_dense else line["round"]
    timing = Timing(
      line["task"],
      index,
      line["network"],
      _way(line),
      line,
      line["seconds"] / dense[_key(line)]["seconds"],
      values.get((line["task"], index), {}),
    )
    seed = None if is_dense else line["seed"]
    found[timing.task, timing.way, index, timing.network, seed] = timing
  timings = sorted(
    found.values(),
    key=lambda t: (t.task, t.way, t.round, NETWORKS.index(t.network)),
  )
  return Times(measure, timings, left_out)


def _read(run: Run) -> tuple[list[dict], list[str]]:
  file = run.path / workdir.TIMES
  lines, left_out = [], []
  try:
    found = read_json_lines(file) if file.exists() else []
  except ResultsError as error:
    return [], [str(error)]
  for where, line in found:
    try:
      forms.check(line, forms.TIMES, where)
      lines.append(line)
    except ResultsError as error:
      left_out.append(str(error))
  return lines, left_out


def _way(line: dict) -> Way:
  return line["engine"], line["threads"], line["batch"], line["device"]


def _key(line: dict) -> tuple:
  """Returns what the dense network beside a line has in common with it."""
  return line["sha256"], _way(line)


def _qualities(
  run: Run,
) -> tuple[str, dict[tuple[str, int], dict[int, float]]]:
  """Returns the first measure of a run's networks, and (task, round) -> it."""
  judged = [row for row in judgements(run) if row["metric"] in METRICS]
  if judged:
    of = operator.itemgetter("protocol", "target", "layer", "metric")
    rows = [row for row in judged if of(row) == of(judged[0])]
    name = label(of(judged[0]))
  else:
    rows = [
      row
      for row in run.rows
      if row["stage"] == workdir.PRETEXT and row["metric"] == "accuracy"
    ]
    name = "Accuracy on the task itself (%)"
  found = collections.defaultdict(dict)
  for row in rows:
    found[row["task"], row["round"]][row["seed"]] = row["value"]
  return name, found


def describe(way: Way) -> str:
  """Names a way to compute: "xla, 1 thread, 32 images"."""
  engine, threads, batch, _ = way
  of_threads = f"{threads} thread" + "s" * (threads > 1)
  return f"{engine}, {of_threads}, {batch} image" + "s" * (batch > 1)


def tabulate(times: Times, names: Names) -> Table:
  """Lists what was measured beside what the multiply-adds say.

  Args:
    times: what was measured of a run.
    names: labels of the tasks.
  """
  header = ["pruned by", "round", "network", "computed by", "ms", "quartiles"]
  header += ["of dense", "multiply-adds of dense", "processor ms"]
  header += ["file (MB)", "memory (MB)", times.measure]
  rows = []
  for each in times.timings:
    line = each.line
    quartiles = " to ".join(f"{1e3 * line[n]:.4g}" for n in ("lower", "upper"))
    memory = line.get("memory")
    rows.append([
      names.label(each.task),
      f"{each.round:02d}",
      each.network,
      describe(each.way),
      f"{1e3 * line['seconds']:.4g}",
      quartiles,
      f"{each.of_dense:.2f}",
      f"{line['of_dense_multiply_adds']:.2f}",
      f"{1e3 * line['processor_seconds']:.4g}",
      f"{line['file_bytes'] / 1e6:.2f}",
      f"{memory / 1e6:.0f}" if isinstance(memory, int) else "",
      _write_quality(each),
    ])  # fmt: skip
  return Table(header, rows)


def _write_quality(timing: Timing) -> str:
  values = timing.quality.values()
  # Rounding to whole numbers changes a network; its quality is not measured.
  if timing.network == "int8" or not values:
    return ""
  return words.write_estimate(estimate(values))
