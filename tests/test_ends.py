"""However and whenever a study ends, the same command ends in the same bits."""

import concurrent.futures
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from helpers import NARROW, TIMES, bits

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.slow

_STUDY = (
  f"--config={ROOT}/configs/rotnet.py:digits",
  *NARROW,
  "--config.train.duration=12it",
  "--config.retrain.rounds=(1,)",
  "--config.retrain.inits=('rewind',)",
  "--config.retrain.train.duration=6it",
  "--config.log.checkpoint=3it",
)


def _start(workdir):
  return subprocess.Popen(
    [sys.executable, "-m", "sslprune_jax.main", *_STUDY]
    + [f"--workdir={workdir}"],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


@pytest.fixture(scope="module", autouse=True)
def ctrl_c():
  """Hears Ctrl-C, and so do the children: a shell's background does not."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A study that nothing disturbed, and how long one takes."""
  workdir = tmp_path_factory.mktemp("whole")
  for name in ("cold", "run"):  # The first one compiles.
    began = time.monotonic()
    running = _start(workdir / name)
    said = running.communicate()
    assert running.returncode == 0, said
  return workdir / "run", time.monotonic() - began


def _end_until(count, number, whole, folder, look):
  """Sends a signal at random moments, to studies that go on until they end.

  Args:
    count: how many times.
    number: the signal.
    whole: a study that nothing disturbed, and how long it takes.
    folder: where the studies are run.
    look: checks a process that was ended by it: its status, and its words.

  Returns:
    The number of studies that ended, each in the bits of the whole one.
  """
  rng, sent, ended, running = random.Random(folder.name), 0, 0, None
  while sent < count or running:
    workdir = folder / str(ended)
    running = _start(workdir)
    if sent < count:
      time.sleep(rng.uniform(0, whole[1]))
      if running.poll() is None:
        running.send_signal(number)
        sent += 1
    said = running.communicate()
    if running.returncode == 0 and "report:" in said[0]:
      assert bits(workdir) == bits(whole[0])
      ended, running = ended + 1, None
      continue
    look(running.returncode, *said)
  return ended


def _side_by_side(count, number, whole, tmp_path, look):
  cores = os.cpu_count()
  with concurrent.futures.ThreadPoolExecutor(cores) as threads:
    found = [
      threads.submit(
        _end_until, count // cores, number, whole, tmp_path / str(i), look
      )
      for i in range(cores)
    ]
    assert all(future.result() for future in found)


def test_a_hundred_kills_change_no_bit(whole, tmp_path):
  def look(status, out, err):
    assert status == -signal.SIGKILL, err

  _side_by_side(TIMES, signal.SIGKILL, whole, tmp_path, look)


@pytest.mark.parametrize(
  "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 0)]
)
def test_a_hundred_times_it_is_asked_to_end_and_does(
  number, status, whole, tmp_path
):
  count = TIMES if number == signal.SIGINT else TIMES // 5

  def look(found, out, err):
    # Before Python has begun to run the command a signal is Python's own.
    early = found == -number or "KeyboardInterrupt" in err
    assert found == status or early, (found, out, err)
    assert early or "Traceback" not in err, err

  _side_by_side(count, number, whole, tmp_path, look)


def test_of_two_starts_one_runs_and_the_other_says_so(whole, tmp_path):
  for number in range(TIMES // 5):
    workdir = tmp_path / str(number)
    both = [_start(workdir) for _ in range(2)]
    said = [process.communicate() for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], said
    (line,) = said[codes.index(1)][1].splitlines()
    assert line.startswith(f"error: {workdir}: found it in use by process ")
    assert "remove" not in line
    assert bits(workdir) == bits(whole[0])
