"""Runs a part of what is to be seen on a machine with a GPU or TPU.

  bash launch/accelerator.sh PART [--out=FOLDER] [--short]
  python benchmarks/accelerator.py PART [--out=FOLDER] [--short]

The items of a part are processes of their own, one after the other, so that
each finds the device's memory empty, and one that fails takes no other down.
What they find is kept in FOLDER/PART.json after each of them. A part ends after
eight minutes: the same command goes on with what is missing, and repeats what
failed. The exit status is 1 where something failed.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import tomllib

_HERE = pathlib.Path(__file__).parent
ROOT = _HERE.parent
# The package of this checkout, whatever is installed.
sys.path.insert(0, str(ROOT))
PARTS = ("correct", "speed", "inference", "figures")
_LIMIT = 450  # seconds, after which items end; with `_GRACE` eight minutes
_LEAST = 20  # seconds, with fewer of which left no item is begun
_GRACE = 30  # seconds for an item to end by itself once its time is up
# What prepared TFDS sets are read with, and nothing here reads.
_FOR_TFDS = {"array-record", "importlib-resources", "tensorflow-datasets"}


def missing_wheels() -> tuple[list[str], list[str]]:
  """Returns the dependencies of pyproject.toml that are not installed.

  Returns:
    Names of those that are needed, and of those that TFDS sets alone need.
  """
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  names = [re.match(r"[\w-]+", words)[0] for words in project["dependencies"]]
  missing = [name for name in names if not _is_installed(name)]
  return (
    [name for name in missing if name not in _FOR_TFDS],
    [name for name in missing if name in _FOR_TFDS],
  )


def _is_installed(name: str) -> bool:
  try:
    importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return False
  return True


def check_wheels() -> None:
  """Says which wheels are missing; ends the program if they are needed."""
  needed, of_tfds = missing_wheels()
  if of_tfds:
    words = f"not installed, for TFDS sets alone: {', '.join(of_tfds)}"
    print(words, file=sys.stderr)
  if needed:
    sys.exit(
      f"error: {sys.executable}: found no {', '.join(needed)}, expected them: "
      "see launch/README.md for how wheels are carried"
    )


class Record:
  """What a part has found, in one file."""

  def __init__(self, path: pathlib.Path, about: dict):
    """Reads what is there.

    Args:
      path: the file, which may be missing.
      about: machine and code; those of the file must be the same.
    """
    self.path, self._found = path, {"about": about, "items": {}}
    if path.exists():
      self._found = json.loads(path.read_text())
      there = self._found["about"]
      for field in about:
        if there.get(field) != about[field]:
          sys.exit(
            f"error: {path}: about.{field}: found {there.get(field)!r}, "
            f"expected {about[field]!r}; choose another --out"
          )

  def is_done(self, name: str) -> bool:
    """Returns whether an item was run, and did not fail."""
    return self._found["items"].get(name, {"ok": False})["ok"]

  def keep(self, name: str, found: dict) -> None:
    """Writes what an item found; the file is whole at any moment."""
    self._found["items"][name] = found
    self.path.parent.mkdir(parents=True, exist_ok=True)
    new = self.path.with_suffix(".new")
    new.write_text(json.dumps(self._found, indent=1) + "\n")
    new.replace(self.path)


def run_item(part: str, name: str, short: bool, seconds: float) -> dict:
  """Runs an item in a process of its own.

  Args:
    part: part that it is of, or "about".
    name: its name.
    short: whether in short form.
    seconds: time that it has.

  Returns:
    JSON values that it printed last; with `ok` False and the `error` if it
    failed.
  """
  command = [
    *(sys.executable, __file__, part, f"--item={name}"),
    *(f"--seconds={seconds:.0f}", *(["--short"] if short else [])),
  ]
  process = subprocess.Popen(
    command,
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,  # Its own processes end with it.
    env={
      # Several processes take the memory of one GPU in turn.
      "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
      **os.environ,
      "PYTHONPATH": os.pathsep.join(
        [str(_HERE), str(ROOT), os.environ.get("PYTHONPATH", "")]
      ),
    },
  )
  try:
    said, _ = process.communicate(timeout=seconds + _GRACE)
  except subprocess.TimeoutExpired:
    return {"ok": False, "error": f"not done in {seconds:.0f} s"}
  finally:
    if process.poll() is None:
      os.killpg(process.pid, signal.SIGKILL)
      process.wait()
  if process.returncode:
    return {"ok": False, "error": f"exit status {process.returncode}"}
  return json.loads(said.splitlines()[-1])


def run_part(part: str, out: pathlib.Path, short: bool) -> bool:
  """Runs what is missing of a part, as far as its time allows.

  Returns:
    Whether nothing has failed.
  """
  until = time.monotonic() + _LIMIT
  about = run_item("about", "about", short, _LIMIT)
  if not about.pop("ok"):
    sys.exit(f"error: no device could be looked at: {about['error']}")
  if about["platform"] == "cpu" and not short:
    sys.exit(
      f"error: found {about['device']} alone, expected an accelerator; --short "
      "runs a short form on any device"
    )
  record = Record(out / f"{part}.json", about)
  names = importlib.import_module(f"parts.{part}").items(short)
  failed, is_first = False, True
  for name in names:
    if record.is_done(name):
      continue
    left = until - time.monotonic()
    if left < _LEAST:
      break
    began = time.monotonic()
    found = run_item(part, name, short, left)
    found["took_s"] = round(time.monotonic() - began, 1)
    # What the time ran out for goes on, or begins anew with more of it.
    is_late = not found["ok"] and not is_first and time.monotonic() > until
    is_cut, is_first = found.pop("is_cut", is_late), False
    print(json.dumps({"item": name, **found}), flush=True)
    if is_cut:
      break
    failed |= not found["ok"]
    record.keep(name, found)
  done = sum(map(record.is_done, names))
  rest = "" if done == len(names) else "; the same command goes on"
  print(f"{part}: {done} of {len(names)} done{rest}: {record.path}")
  return not failed


def main() -> None:
  """Runs a part, or one item of it."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("part", choices=(*PARTS, "page", "about"))
  parser.add_argument(
    "--out", type=pathlib.Path, default=ROOT / "runs/accelerator"
  )
  parser.add_argument("--short", action="store_true", help="for CPUs, minutes")
  parser.add_argument("--item", help=argparse.SUPPRESS)
  parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.item:
    return _answer(arguments)
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Ends the item too.
  check_wheels()
  if arguments.part == "page":
    from parts import page

    return print(page.render(arguments.out))
  sys.exit(not run_part(arguments.part, arguments.out, arguments.short))


def _answer(arguments: argparse.Namespace) -> None:
  """Runs an item in this process, and prints what it found."""
  answers, sys.stdout = sys.stdout, sys.stderr  # A study prints its progress.
  from sslprune_jax.runtime import environment

  environment.prepare()
  module = importlib.import_module(f"parts.{arguments.part}")
  item = module.items(arguments.short)[arguments.item]
  found = {"ok": True, **item(arguments.seconds)}
  print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
  main()
