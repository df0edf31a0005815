"""How many trainings an hour do a set's figures make, apart and together?

  python benchmarks/figures_together.py digits_half

Runs the figures one after the other, each by its own command, and all of them
by one (`configs/figures.py`), in turn, each from the start of Python to the
report. Trainings are cut, in rounds and in updates, to so many times fewer, and
of one seed a process. Prints a line of JSON: seconds of the clock and of the
processor, trainings that were asked for, and those an hour.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
FIGURES = sorted(path.stem for path in (ROOT / "configs/paper").glob("*.py"))
_CUT = """
from ml_collections import ConfigDict
from sslprune_jax import paper, variants
from sslprune_jax.config import durations, files

ROUNDS, UPDATES, FIGURES = {rounds}, {updates}, {figures}


def get_config(named):
  name, dataset = named.split(",")
  if name in FIGURES:
    config = files.load(f"paper/{{name}}:{{dataset}}")
  else:
    config = paper.every_figure(dataset)
  found = variants.expand(config)
  with config.unlocked():
    config.variants = ConfigDict()
  for name, study in found.items():
    if name.partition("/")[0] not in FIGURES and "/" in name:
      continue
    study.prune.rounds = max(1, study.prune.rounds // ROUNDS)
    for section in (study.retrain, study.transfer):
      section.rounds = tuple(
        r for r in section.rounds if r <= study.prune.rounds
      )
    for section, field in (
      (study.train, "duration"),
      (study.retrain.train, "duration"),
      (study.prune, "rewind"),
    ):
      section[field] = durations.stretch(section[field], 1 / UPDATES)
    variants.add(config, name, study)
  return config
"""


def main():
  """Prints a line of JSON."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("dataset")
  parser.add_argument("--figures", nargs="+", default=FIGURES)
  parser.add_argument("--rounds", type=int, default=2, help="times fewer")
  parser.add_argument("--updates", type=int, default=4, help="times fewer")
  parser.add_argument("--processes", type=int, default=2)
  parser.add_argument("--repeats", type=int, default=1)
  flags = parser.parse_args()
  found = {"apart": [], "together": []}
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "cut.py"
    file.write_text(
      _CUT.format(
        rounds=flags.rounds, updates=flags.updates, figures=flags.figures
      )
    )
    trainings = set()
    # The first fills the compilation cache.
    cases = [("together", ["all"])]
    cases += [("apart", flags.figures), *cases] * flags.repeats
    for number, (how, names) in enumerate(cases):
      workdir = pathlib.Path(folder) / str(number)
      begin, before = time.perf_counter(), os.times()
      for name in names:
        _run(f"{file}:{name},{flags.dataset}", workdir / name, flags)
      used = sum(os.times()[2:4]) - sum(before[2:4])
      trainings.add(_count(workdir))
      print(how, time.perf_counter() - begin, used, file=sys.stderr)
      if number:
        found[how].append((time.perf_counter() - begin, used))
  (asked,) = trainings
  line = {"dataset": flags.dataset, "figures": len(flags.figures)}
  line |= {"trainings": asked, "processes": flags.processes}
  for how, pairs in found.items():
    clock, used = (
      statistics.median(column) for column in zip(*pairs, strict=True)
    )
    line[how] = {
      "seconds": round(clock),
      "processor_seconds": round(used),
      "an_hour": round(3600 * asked / clock),
    }
  for unit in ("seconds", "processor_seconds"):
    gain = line["apart"][unit] / line["together"][unit]
    line[f"gain_in_{unit}"] = round(gain, 2)
  print(json.dumps(line))


def _run(config: str, workdir: pathlib.Path, flags: argparse.Namespace) -> None:
  seeds = tuple(range(flags.processes))
  subprocess.run(
    [
      sys.executable, "-m", "sslprune_jax.main", f"--config={config}",
      f"--config.seeds={seeds}", f"--workdir={workdir}",
      f"--processes={flags.processes}",
    ],
    check=True,
    cwd=ROOT,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )  # fmt: skip


def _count(workdir: pathlib.Path) -> int:
  """Counts the trainings of all figures that were asked for."""
  return len(list(workdir.rglob("metrics.jsonl")))


if __name__ == "__main__":
  main()
