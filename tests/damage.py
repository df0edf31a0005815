"""Damages to what a study left, and how they come out."""

import csv
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import orbax.checkpoint as ocp
from helpers import short

from sslprune_jax import report
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import variants
from sslprune_jax.runtime import trees
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.study import run as run_lib
from sslprune_jax.study.verify import verify

_RNG = np.random.default_rng(0)
_ORBAXS = re.compile("(.*/(rewind|checkpoint))/[0-9]+/")
# Of tickets a rerun reads sizes, and a page nothing: no number can come of one
# that is flipped or zeroed; `verify` names it, and so does whatever reads it.
_TICKET = ".npz"
# Who trained what, which is found again by training; no result.
_INDEX = "trainings/"
# Said, but no part of a result: how long things took, and so without a digest.
_LOG = "metrics.jsonl"
# A page without it is that of a study that is not finished; a rerun writes it.
_LAST = "overlaps.jsonl"


def get_config():
  """Returns studies of two tasks, with all kinds of stages: seconds."""
  config = short()
  config.prune.rounds = 1
  config.train.duration = "8it"
  config.retrain.rounds = (1,)
  config.retrain.inits = ("rewind", "reinit")
  config.retrain.fraction = 0.2
  config.retrain.train.update(duration="3it", batch_size=32)
  config.transfer.update(
    protocols=("svm:digits:0.2", "finetune:digits:0.2"),
    rounds=(1,),
    random=False,
  )
  config.transfer.svm.costs = (1.0,)
  config.transfer.finetune.train.update(batch_size=32, duration="3it")
  for task in ("labels", "rotnet"):
    study = config.copy_and_resolve_references()
    study.tasks = (task,)
    variants.add(config, task, study)
  return config


def truncate(path):
  content = path.read_bytes()
  half = content[: len(content) // 2]
  # Cut at the end of a line, the log of a training that goes on is that of one
  # that was killed earlier.
  path.write_bytes(half.removesuffix(b"\n"))


def zero(path):
  path.write_bytes(bytes(path.stat().st_size))


def flip(path):
  content = bytearray(path.read_bytes())
  content[_RNG.integers(len(content))] ^= 1 << _RNG.integers(8)
  path.write_bytes(bytes(content))


def delete(path):
  path.unlink()


DAMAGES = (flip, truncate, zero, delete)


def kinds(workdir):
  """Returns a file of each kind, by its path; of checkpoints too."""
  found = {}
  for path in sorted(workdir.glob("**/*")):
    name = str(path.relative_to(workdir))
    if path.is_file() and path.stat().st_size and not _is_of_a_page(path):
      stage = re.findall("/(retrain|transfer|rewind|checkpoint)/", name)
      # Orbax names files by numbers and random digits.
      kind = re.sub(r"[0-9a-f]{6,}|[0-9]+", "#", path.name)
      found.setdefault((*stage, kind), name)
  return list(found.values())


class Sweep:
  """Damages a study, and says what a user would not have been told.

  Args:
    workdir: the study, whole or in part.
    whole: the whole study, to whose bytes it leads.
    folder: where copies are damaged.
  """

  def __init__(self, workdir, whole, folder):
    self._workdir, self._copy = workdir, folder / "run"
    self._whole, self._early = _contents(whole), _early(whole)
    self._restore()
    self._pages = self._report()

  def damage(self, name, damage):
    """Damages a file; returns what is wrong with how it comes out, or ""."""
    self._restore()
    path = self._copy / name
    damage(path)
    # Of checkpoints, whose files are Orbax's, the folder is named.
    of_orbax = _ORBAXS.match(str(path))
    named = of_orbax[1] if of_orbax else str(path)
    is_named = any(named in words for words in self._verify())
    try:
      words = self._compare_pages(named, damage is delete and name == _LAST)
    except UserError as error:
      words = _unless_said(error, named)
    if words:
      return f"report: {words}"
    try:
      self._rerun()
    except UserError as error:
      words = _unless_said(error, named)
      return (
        words or "" if is_named else "verify does not say what a rerun says"
      )
    found = _contents(self._copy)
    wrong = {n for n in self._whole if found.get(n) != self._whole[n]}
    if is_named and (name.endswith(_TICKET) or name.startswith(_INDEX)):
      wrong -= {name}
    if wrong:
      return f"found other bytes in {sorted(wrong)}"
    if not is_named and _early(self._copy) != self._early:
      return "W_k is another one, and verify does not say so"
    if not is_named and name.endswith(_LOG) and damage is not flip:
      return "metrics are lost, and verify does not say so"
    return ""

  def _verify(self):
    return [words for words, _ in verify(self._copy)[0]]

  def _report(self):
    report.write_report([self._copy], self._copy / "report.html")
    return self._read_pages()

  def _rerun(self):
    run_lib.run(get_config(), self._copy)

  def _restore(self):
    shutil.rmtree(self._copy, ignore_errors=True)
    shutil.copytree(self._workdir, self._copy)

  def _read_pages(self):
    return {
      str(path): path.read_text()
      for path in self._copy.glob("**/*")
      if path.suffix in (".html", ".csv")
    }

  def _compare_pages(self, named, lacks):
    """Reports; numbers may be left out where the page says of which file."""
    pages = self._report()
    if not _rows(self._pages) >= _rows(pages):
      return "other numbers"
    is_said = lacks or any(named in text for text in pages.values())
    return "" if is_said or pages == self._pages else "says of nothing left out"


class Commands(Sweep):
  """The same of the commands, each a process of its own."""

  def _verify(self):
    run = command("study", self._copy)
    lines = run.stderr.splitlines()
    assert run.returncode == bool(lines), run.stderr
    assert all(line.startswith("error: ") for line in lines), run.stderr
    return lines

  def _report(self):
    _raise(command("report", self._copy))
    return self._read_pages()

  def _rerun(self):
    _raise(start(self._copy))


def start(workdir):
  """Runs the study of `get_config` by its command."""
  return command("main", f"--config={__file__}", f"--workdir={workdir}")


def command(module, *words):
  """Runs a command to its end."""
  return subprocess.run(
    [sys.executable, "-m", f"sslprune_jax.{module}", *map(str, words)],
    capture_output=True,
    text=True,
    cwd=pathlib.Path(__file__).parent,
  )


def _raise(run):
  """Raises what a command says that has failed: a line."""
  if run.returncode:
    error = run.stderr.partition("error: ")[2]
    assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
    assert error.endswith("\n"), run.stderr
    raise UserError(error[:-1])


def _rows(pages):
  """Returns what the tables of pages say of each result."""
  return {
    frozenset((field, value) for field, value in row.items() if value)
    for name, text in pages.items()
    if name.endswith(".csv")
    for row in csv.DictReader(text.splitlines())
  }


def _unless_said(error, named):
  words = str(error)
  return "" if named in words and "\n" not in words else words


def _is_of_a_page(path):
  return path.suffix in (".html", ".png", ".csv")


def _contents(workdir):
  """Returns all but pages, and what says how long things took."""
  return {
    str(path.relative_to(workdir)): path.read_bytes()
    for path in sorted(workdir.glob("**/*"))
    if path.is_file()
    and not _is_of_a_page(path)
    and path.name != "metrics.jsonl"
    # Without what it says, the same is trained once more.
    and path.parent.name != workdir_lib.TRAININGS
    and not _ORBAXS.search(str(path))
  }


def _early(workdir):
  """Returns digests of W_k as Orbax reads it, without ours beside it."""
  return {
    str(folder.relative_to(workdir)): _digest(folder)
    for folder in sorted(workdir.glob("**/rewind/3/*"))
    if folder.is_dir() and folder.name != "digests"
  }


def _digest(folder):
  try:
    with ocp.StandardCheckpointer() as reader:
      return trees.digests(reader.restore(folder))
  except Exception as error:  # noqa: BLE001
    return str(error)
