"""Do short studies end in the same bits as by the code of an earlier commit?

  python benchmarks/golden.py                             # all cases
  python benchmarks/golden.py --cases=exemplar,transfer   # some
  python benchmarks/golden.py --against=4bc914b           # another commit

Bits depend on the processor, the threads and the version of JAX, so none are
stored: the cases (`golden_cases.py`) are run by the code of the commit and by
this working tree, on this machine, each as a command that a user could type.
Compared are results and metrics, in the fields that both write, and the arrays
of every ticket. The status is 0 if nothing differs, and 1 otherwise.

What the commit wrote is kept in ~/.cache/sslprune_jax/golden, so that the next
comparison runs this tree alone. The commit is by default the one that last
raised `NUMERICS`: results are meant to be the same since then.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import golden_compare
from golden_cases import CASES, write_pictures

ROOT = pathlib.Path(__file__).parent.parent
_FIRST = "57e8978"  # What NUMERICS = 0, or none at all, stands for.
_NUMERICS = "sslprune_jax/training/step.py"
# What bits depend on, beside the code and the command.
_PACKAGES = (
  "flax", "jax", "jaxlib", "numpy", "optax", "pillow", "scikit-learn", "scipy",
)  # fmt: skip
_VARIABLES = ("JAX_", "MKL_", "NPROC", "OMP_", "OPENBLAS_", "XLA_")
_SHOWN = 10  # differences of a case


def main() -> None:
  """Runs the cases by both sides, and says what differs."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument(
    "--against", metavar="COMMIT", help="default: that last raised NUMERICS"
  )
  parser.add_argument(
    "--cases", default=",".join(CASES), help="default: %(default)s"
  )
  arguments = parser.parse_args()
  names = arguments.cases.split(",")
  for name in names:
    if name not in CASES:
      sys.exit(f"error: --cases: found {name!r}, expected some of {[*CASES]}")
  needed = {CASES[name].needs for name in names}
  names = [name for name in CASES if name in needed.union(names)]
  commit = _git(
    ROOT, "rev-parse", "--verify", f"{arguments.against or raised()}^0"
  )
  now = pathlib.Path(tempfile.mkdtemp(prefix="golden_"))
  write_pictures(now / "pictures")
  before = _before(names, commit, now / "pictures")
  places = {name: now / name for name in ("pictures", *names)}
  differ = []
  for name in names:
    seconds = _run(name, ROOT, places[name], places)
    found = golden_compare.compare(before[name], places[name])
    _say(name, found, seconds)
    if found.differences:
      differ.append(f"{before[name]} and {places[name]}")
  if differ:
    sys.exit("error: these differ: " + "; ".join(differ))
  shutil.rmtree(now)


def raised(root: pathlib.Path = ROOT) -> str:
  """Returns the commit that last raised `NUMERICS`, or the first of all."""
  changes = _git(root, "log", "-G^NUMERICS = ", "--format=%H", "--", _NUMERICS)
  for commit in changes.split():
    if _numerics(root, commit) > _numerics(root, f"{commit}^"):
      return commit
  return _FIRST


def _numerics(root: pathlib.Path, commit: str) -> int:
  """Returns the number at a commit, 0 where there is none."""
  shown = subprocess.run(
    ["git", "show", f"{commit}:{_NUMERICS}"],
    cwd=root,
    capture_output=True,
    text=True,
  )
  found = re.search(r"^NUMERICS = (\d+)", shown.stdout, re.MULTILINE)
  return int(found[1]) if found else 0


def _git(root: pathlib.Path, *arguments: str) -> str:
  """Returns what git says; its error ends this program."""
  done = subprocess.run(
    ["git", *arguments], cwd=root, capture_output=True, text=True
  )
  if done.returncode:
    sys.exit(f"error: git {' '.join(arguments)}: {done.stderr.strip()}")
  return done.stdout.strip()


def _before(
  names: Sequence[str], commit: str, pictures: pathlib.Path
) -> dict[str, pathlib.Path]:
  """Returns the workdirs of the commit, and runs what is not kept.

  A workdir that lies there is whole: it is moved to its place when it is done.
  """
  root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
  kept = pathlib.Path(root) / "sslprune_jax/golden" / commit
  kept.mkdir(parents=True, exist_ok=True)
  around = _surroundings(pictures)
  places = {name: kept / f"{name}_{_key(name, around)}" for name in names}
  missing = [name for name in names if not places[name].exists()]
  if missing:
    with tempfile.TemporaryDirectory(dir=kept) as folder:
      with tree_of(commit, pathlib.Path(folder) / "tree") as tree:
        for name in missing:
          made = pathlib.Path(folder) / name
          seconds = _run(name, tree, made, places | {"pictures": pictures})
          print(f"{name}: {seconds:.0f} s by {commit[:7]}", flush=True)
          _keep(made, places[name])
  return places


@contextlib.contextmanager
def tree_of(commit: str, tree: pathlib.Path) -> Iterator[pathlib.Path]:
  """Checks a commit out into a folder, for as long as it is needed.

  Args:
    commit: any that git knows.
    tree: folder that is not there.

  Yields:
    The folder.
  """
  _git(ROOT, "worktree", "add", "--detach", str(tree), commit)
  try:
    yield tree
  finally:
    _git(ROOT, "worktree", "remove", "--force", str(tree))


def _keep(made: pathlib.Path, place: pathlib.Path) -> None:
  """Moves a workdir to its place, unless another process was there first."""
  try:
    made.rename(place)
  except OSError:
    if not place.exists():
      raise


def _surroundings(pictures: pathlib.Path) -> dict[str, Any]:
  """Returns what bits depend on, beside the code and the command."""
  digest = hashlib.sha256()
  for path in sorted(pictures.rglob("*.*")):
    digest.update(path.read_bytes())
  processor = [platform.machine()]
  with contextlib.suppress(FileNotFoundError), open("/proc/cpuinfo") as file:
    first = file.read().split("\n\n")[0].splitlines()
    processor += [x for x in first if x.startswith(("model name", "flags"))]
  return {
    "pictures": digest.hexdigest(),
    "processor": processor,
    "threads": [os.cpu_count(), len(os.sched_getaffinity(0))],
    "python": platform.python_version(),
    "versions": [importlib.metadata.version(name) for name in _PACKAGES],
    "variables": {
      name: value
      for name, value in sorted(os.environ.items())
      if name.startswith(_VARIABLES) and "CACHE" not in name
    },
  }


def _key(name: str, around: dict[str, Any]) -> str:
  """Returns what stands for a case, and for all that its bits depend on."""
  cases = [CASES[of] for of in (name, CASES[name].needs) if of]
  values = [around, *map(dataclasses.astuple, cases)]
  return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def _run(
  name: str,
  tree: pathlib.Path,
  workdir: pathlib.Path,
  places: dict[str, pathlib.Path],
) -> float:
  """Runs a case by the code of a tree; returns the seconds it took."""
  case, began = CASES[name], time.monotonic()
  command = [sys.executable, "-m", case.module]
  command += [flag.format(**places) for flag in case.flags]
  environment = {"JAX_PLATFORMS": "cpu", **os.environ, "PYTHONPATH": str(tree)}
  with socket.create_server(("localhost", 0)) as free:
    address = f"localhost:{free.getsockname()[1]}"
  running = []
  for i in range(case.processes):
    own = [f"--workdir={workdir if i == 0 else workdir / 'not_seen'}"]
    if case.processes > 1:
      own += [f"--coordinator={address}", f"--process={i}/{case.processes}"]
    running.append(
      subprocess.Popen(
        command + own,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
      )
    )
  said = [process.communicate()[0] for process in running]
  for process, words in zip(running, said, strict=True):
    if process.returncode:
      sys.exit(
        f"{words}error: {name} ended with {process.returncode} in {tree}"
      )
  return time.monotonic() - began


def _say(name: str, found: golden_compare.Found, seconds: float) -> None:
  """Prints what a comparison found."""
  counts = (
    f"{found.lines} lines, {found.tickets} tickets, {found.arrays} arrays"
  )
  many = len(found.differences)
  verdict = f"{many} differences" if many else "nothing differs"
  print(f"{name}: {verdict}: {counts}; {seconds:.0f} s", flush=True)
  for line in found.differences[:_SHOWN]:
    print(f"  {line}", flush=True)
  if many > _SHOWN:
    print(f"  and {many - _SHOWN} more", flush=True)
  for line in sorted(found.notes):
    print(f"  no difference: {line}", flush=True)


if __name__ == "__main__":
  main()
