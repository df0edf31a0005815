"""Tests of the command line as a user meets it."""

import pathlib
import subprocess
import sys
import types

import pytest
from helpers import NARROW

from sslprune_jax import cli
from sslprune_jax.runtime import endings, environment, processes, workers

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize(
  "flag, words",
  [
    ("--config.prune.rte=0.1", ["no field 'rte'", "config.prune.rate"]),
    ("--config.prune.rounds=2.5", ["config.prune.rounds", "2.5"]),
    ("--config.prune.rate=2.0", ["config.prune.rate: found 2.0"]),
    ("--config.dataset.name=folder", ["data_dir: found none"]),
  ],
)
def test_a_mistake_is_one_clear_line(flag, words, tmp_path):
  run = subprocess.run(
    [
      sys.executable,
      "-m",
      "sslprune_jax.main",
      f"--config={ROOT}/configs/quickstart.py",
      f"--workdir={tmp_path / 'run'}",
      flag,
    ],
    capture_output=True,
    text=True,
  )
  assert run.returncode
  assert all(word in run.stderr for word in words), run.stderr
  assert "Traceback" not in run.stderr
  assert not (tmp_path / "run").exists()


def test_devices_are_the_childrens_until_these_have_ended(monkeypatch):
  done = []
  own = types.SimpleNamespace(coordinator=None, process=None)
  monkeypatch.setattr(cli, "flags", types.SimpleNamespace(FLAGS=own))
  for module, name in (
    (endings, "note"),
    (workers, "finish"),
    (environment, "check_devices"),
  ):
    monkeypatch.setattr(
      module, name, lambda *_, name=name, **__: done.append(name)
    )
  cli.join_others(())
  assert done == ["note", "finish", "check_devices"]


def test_a_page_that_cannot_be_written_is_said_to_all_processes(
  tmp_path, monkeypatch, capsys
):
  passed_on = []

  def from_first(make):
    try:
      return make()
    except Exception as error:
      passed_on.append(error)
      raise

  monkeypatch.setattr(processes, "from_first", from_first)
  monkeypatch.setattr(environment, "prepare", lambda: None)
  with pytest.raises(SystemExit, match="error: .*results"):
    cli.run(lambda: str(tmp_path))
  assert passed_on


# As on a machine on which the package is not installed, nor what reads TFDS.
_BARE = """
import importlib.metadata, runpy, sys
for name in ("array_record", "importlib_resources", "tensorflow_datasets"):
  sys.modules[name] = None
version = importlib.metadata.version
def of_others(name):
  if name in ("sslprune-jax", "tensorflow-datasets", "array-record"):
    raise importlib.metadata.PackageNotFoundError(name)
  return version(name)
importlib.metadata.version = of_others
runpy.run_module("sslprune_jax.main", run_name="__main__", alter_sys=True)
"""


def test_digits_need_no_tfds_and_no_installed_package(tmp_path):
  run = subprocess.run(
    # A program that other tests compile too.
    [sys.executable, "-c", _BARE, "--config=configs/rotnet.py:digits"]
    + [*NARROW, "--config.train.duration=30it", "--config.retrain.rounds=()"]
    + [f"--workdir={tmp_path}"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  assert (tmp_path / "report.html").exists()
