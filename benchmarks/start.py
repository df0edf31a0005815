"""How long a study takes to its first update, beside an earlier commit's.

  python benchmarks/start.py                    # beside 57e8978, 5 minutes
  python benchmarks/start.py --against=4bc914b  # another commit

Each side runs `python -m sslprune_jax.main --config=configs/quickstart.py` in a
process of its own, by turns, and is killed at the end of its first update:
what was compiled is in a cache by then, apart for each side. Printed are the
medians of processor time and wall time from the start of the process, and of
the ratios of neighbouring runs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import golden
import numpy as np

AGAINST, _TURNS = "57e8978", 7
# Both commits name `pmap` in one place, and give the state of a step away.
_CHILD = """
import os, runpy, sys, time
import jax

pmap = jax.pmap


def first(function, **how):
  step = pmap(function, **how)

  def update(*arguments):
    jax.block_until_ready(step(*arguments))
    print("first update", sum(os.times()[:2]), file=sys.stderr, flush=True)
    os._exit(0)

  return update if how.get("donate_argnums") else step


jax.pmap = first
sys.argv = ["main", *sys.argv[1:]]
runpy.run_module("sslprune_jax.main", run_name="__main__")
"""


def main():
  """Prints a line of JSON."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--against", default=AGAINST, metavar="COMMIT")
  against = parser.parse_args().against
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    with golden.tree_of(against, folder / "tree") as before:
      print(json.dumps({"against": against} | _measure(before, folder)))


def _measure(before, folder):
  trees = {"ours": golden.ROOT, "before": before}
  found = {name: [] for name in trees}
  for turn in range(_TURNS + 1):
    for name, tree in trees.items():
      seconds = to_first_update(tree, folder / f"cache_{name}")
      if turn:  # Compiled by then.
        found[name].append(seconds)
  ours, theirs = (np.array(seconds) for seconds in found.values())
  medians = {
    "ours": np.median(ours, axis=0),
    "before": np.median(theirs, axis=0),
    "ratio": np.median(ours / theirs, axis=0),
  }
  return {
    name: dict(zip(("processor", "wall"), of.round(3).tolist(), strict=True))
    for name, of in medians.items()
  } | {"runs": _TURNS, "load": round(os.getloadavg()[0], 1)}


def to_first_update(tree, cache):
  """Starts the quickstart, and ends it after its first update.

  Args:
    tree: folder of the code.
    cache: folder of what is compiled.

  Returns:
    Seconds of the processor, and of the clock.
  """
  with tempfile.TemporaryDirectory() as folder:
    began = time.monotonic()
    said = subprocess.run(
      [
        sys.executable,
        "-c",
        _CHILD,
        "--config=configs/quickstart.py",
        f"--workdir={folder}/study",
      ],
      cwd=tree,
      env={
        "JAX_PLATFORMS": "cpu",
        **os.environ,
        "PYTHONPATH": str(tree),
        "XDG_CACHE_HOME": str(cache),
      },
      capture_output=True,
      text=True,
    ).stderr
    wall = time.monotonic() - began
  last = said.splitlines()[-1] if said else ""
  if not last.startswith("first update"):
    sys.exit(f"{said}error: {tree} came to no update")
  return float(last.split()[-1]), wall


if __name__ == "__main__":
  main()
