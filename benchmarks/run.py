"""Times ours beside what a user would pick instead, and writes the page.

  pip install -e '.[benchmarks]' && pip install torch==2.13.0
  python benchmarks/run.py                # all, with growth.py and
                                          # study_profile.py
  python benchmarks/run.py study kmeans   # some
  python benchmarks/run.py --write        # docs/benchmarks.*, and its pictures
  python benchmarks/run.py --write study  # what is not named stays

Each case has two sides, each in a process of its own with two threads, which
hold the same input. What they compute is compared first; then they are run by
turns, and the ratios of neighbouring runs are taken: their median is quoted,
and their quartiles. A ratio is ours over the peer's: less than 1 is faster.
Short runs are of several pairs of processes, as how memory happens to be laid
out makes one process faster than the next.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import growth
import numpy as np
import page
import study_profile
from cases import CASES

_HERE = pathlib.Path(__file__).parent
# What has no peer.
_WHOLE = {
  "growth": growth.measure_all,
  "profiles": study_profile.measure_all,
}
_REST = 0.2  # seconds, in which threads that spin give up


class Process:
  """One side of a case, in a process of its own."""

  def __init__(self, case, side):
    """Starts it; it prepares its input and runs once."""
    self._process = subprocess.Popen(
      [sys.executable, str(_HERE / "side.py"), case, side],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      # The package of this checkout, whatever is installed.
      env={
        **os.environ,
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": f"{_HERE}{os.pathsep}{_HERE.parent}",
      },
    )
    self.name = f"{case}, {side}"

  def ask(self, words="go"):
    """Returns what the process answers."""
    self._process.stdin.write(words + "\n")
    self._process.stdin.flush()
    line = self._process.stdout.readline()
    if not line:
      sys.exit(f"error: {self.name} has ended: see above")
    return json.loads(line)

  def end(self):
    """Ends it."""
    self._process.stdin.close()
    self._process.wait()


def compare(answers, tolerance):
  """Refuses sides that do not compute the same."""
  if not np.isfinite(tolerance):
    return
  ours, peer = answers
  if ours.keys() != peer.keys():
    sys.exit(f"error: ours says {[*ours]}, the peer {[*peer]}")
  for key in ours:
    if not np.allclose(ours[key], peer[key], rtol=tolerance, atol=0):
      sys.exit(f"error: {key}: ours gives {ours[key]}, the peer {peer[key]}")


def measure(name):
  """Runs a case; returns what was found."""
  case = CASES[name]
  seconds, answers = [], None
  for _ in range(case.starts):
    answers = _measure_once(name, case, seconds)
  # Of each run ours and the peer's, of each clock and processor.
  ratios = dict(
    zip(
      ("clock", "processor"),
      np.divide(*np.moveaxis(np.array(seconds), 1, 0)).T,
      strict=True,
    )
  )
  low, median, high = np.quantile(ratios[case.time], (0.25, 0.5, 0.75))
  return {
    "case": name,
    "ratio": round(float(median), 3),
    "quartiles": [round(float(low), 3), round(float(high), 3)],
    "both": {
      time: round(float(np.median(each)), 3) for time, each in ratios.items()
    },
    "runs": len(seconds),
    "seconds": np.median(seconds, axis=0)[:, 0].tolist(),
    "answers": answers,
    "load": os.getloadavg()[0],
  }


def _measure_once(name, case, seconds):
  """Starts both sides and runs them by turns, adding to the seconds."""
  sides = [Process(name, side) for side in ("ours", "peer")]
  answers = [side.ask() for side in sides]
  compare(answers, case.tolerance)
  runs = 0
  until = time.monotonic() + case.seconds / case.starts
  while runs < case.least or (time.monotonic() < until and runs < case.most):
    pair = []
    for side in sides if runs % 2 else reversed(sides):
      time.sleep(_REST)
      pair.append(side.ask())
    seconds.append(pair if runs % 2 else pair[::-1])
    runs += 1
  for side in sides:
    side.end()
  return answers


def about():
  """Returns the machine, the versions and the commit."""
  versions = {}
  for package in (
    "jax",
    "jaxlib",
    "torch",
    "faiss-cpu",
    "scikit-learn",
    "numpy",
  ):
    try:
      versions[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      versions[package] = None
  commit = subprocess.run(
    ["git", "describe", "--always", "--dirty"],
    cwd=_HERE,
    capture_output=True,
    text=True,
  ).stdout.strip()
  model = next(
    line.split(":")[1].strip()
    for line in open("/proc/cpuinfo")
    if line.startswith("model name")
  )
  return {
    "machine": f"{model}, {os.cpu_count()} cores",
    "python": platform.python_version(),
    "versions": versions,
    "commit": commit,
    "date": datetime.date.today().isoformat(),
  }


def main():
  """Runs what is named."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  every = (*CASES, *_WHOLE)
  parser.add_argument("names", nargs="*", help=f"of {', '.join(every)}")
  parser.add_argument("--write", action="store_true", help="write the page")
  arguments = parser.parse_args()
  for name in arguments.names:
    if name not in every:
      sys.exit(f"error: found the case {name!r}, expected one of {[*every]}")
  found = {"about": about(), "cases": {}}
  if arguments.write and page.FOUND.exists():  # What is not run yet stays.
    found = json.loads(page.FOUND.read_text()) | {"about": about()}
  for name in arguments.names or every:
    lines = []
    for line in _WHOLE[name]() if name in _WHOLE else [measure(name)]:
      lines.append(line | {"commit": found["about"]["commit"]})
      print(json.dumps(lines[-1]), flush=True)
    if name in _WHOLE:
      found[name] = lines
    else:
      found["cases"][name] = lines[0]
    if arguments.write:  # A later one may fail.
      page.keep(found)
  if arguments.write:
    page.write(found)


if __name__ == "__main__":
  main()
