"""Quality at half of the multiply-adds, from studies of configs/channels.py.

  python benchmarks/channel_quality.py runs/channels_*

Adds their results to docs/channels.jsonl, and prints the table of
docs/channels.md of the seeds that have all: means over seeds, and differences
within a seed with 95 % by Student's t.
"""

import argparse
import collections
import json
import math
import pathlib
import statistics

from sslprune_jax.report import inference
from sslprune_jax.study import provenance

LINES = pathlib.Path(__file__).parent.parent / "docs/channels.jsonl"
_JUDGES = {"linear": "linear", "knn": "neighbours"}
# A variant, or what `pruned` was before channels went.
_COLUMNS = "before", "whole", "pruned", "random", "narrow"


def main():
  """Keeps the lines, and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("workdir", type=pathlib.Path, nargs="*")
  found = LINES.read_text().splitlines() if LINES.exists() else []
  lines = {_key(line): line for line in map(json.loads, found)}
  for workdir in parser.parse_args().workdir:
    for path in sorted(workdir.glob("*/results.jsonl")):
      about = provenance.read(path.parent / "config.json")
      for line in map(json.loads, path.read_text().splitlines()):
        line |= {
          "study": workdir.name,
          "variant": path.parent.name,
          "commit": about["commit"],
        }
        if line["stage"] == "transfer":
          lines[_key(line)] = line
  text = "".join(f"{json.dumps(lines[key])}\n" for key in sorted(lines))
  LINES.write_text(text)
  print(tabulate(lines.values()))


def _key(line):
  fields = ("study", "seed", "task", "variant", "round")
  fields += ("protocol", "target", "layer", "metric")
  return tuple(str(line.get(field)) for field in fields)


def tabulate(lines):
  """Returns the table of lines of results, in points."""
  cells = collections.defaultdict(dict)
  for line in lines:
    if line["metric"] == "accuracy" and line["task"] != "random":
      of = line["task"], f"{_JUDGES[line['protocol']]} of {line['layer']}"
      before = line["variant"] == "pruned" and line["round"] == 0
      column = "before" if before else line["variant"]
      cells[of, column][line["seed"]] = 100 * line["value"]
  for of in {of for of, _ in cells}:
    whole = set.intersection(*(set(cells[of, c]) for c in _COLUMNS))
    for column in _COLUMNS:
      cells[of, column] = {seed: cells[of, column][seed] for seed in whole}
  others = [column for column in _COLUMNS if column != "pruned"]
  header = ["task", "judge", "n", *_COLUMNS]
  header += [f"pruned − {column}" for column in others]
  rows = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
  for of in sorted({of for of, _ in cells if cells[of, "pruned"]}):
    means = [
      f"{statistics.fmean(cells[of, column].values()):.1f}"
      for column in _COLUMNS
    ]
    gaps = [_gap(cells[of, "pruned"], cells[of, b]) for b in others]
    n = str(len(cells[of, "pruned"]))
    rows.append(f"| {' | '.join((*of, n, *means, *gaps))} |")
  return "\n".join(rows)


def _gap(ours, other):
  """Returns the mean difference within a seed, and its interval."""
  seeds = sorted(ours.keys() & other.keys())
  found = [ours[seed] - other[seed] for seed in seeds]
  mean = statistics.fmean(found)
  if len(found) == 1:
    return f"{mean:.1f}".replace("-", "−")
  error = statistics.stdev(found) / math.sqrt(len(found))
  low, high = inference.student_interval(mean, error, len(found), 0.95)
  return f"{mean:.1f} ({low:.1f} to {high:.1f})".replace("-", "−")


if __name__ == "__main__":
  main()
