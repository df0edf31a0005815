"""However and whenever a study ends, the same command ends in the same bits."""

import concurrent.futures
import os
import pathlib
import random
import re
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


def _start(workdir, **where):
  return subprocess.Popen(
    [sys.executable, "-m", "sslprune_jax.main", *_STUDY]
    + [f"--workdir={workdir}"],
    **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **where},
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
    look: checks a process that was sent it: whether it had to obey, its status,
      and its words.

  Returns:
    How many had to obey, and did. All studies ended in the whole one's bits.
  """
  rng, sent, ended, obeyed = random.Random(folder.name), 0, 0, 0
  is_whole = False
  folder.mkdir()
  while sent < count or not is_whole:
    workdir, texts = folder / str(ended), [folder / "out", folder / "err"]
    with open(texts[0], "w") as out, open(texts[1], "w") as err:
      running, must = _start(workdir, stdout=out, stderr=err), False
      if sent < count:
        time.sleep(rng.uniform(0, whole[1]))
        if running.poll() is None:
          must = _send(running, number, texts[0])
          sent += 1
      running.wait()
    said = [text.read_text() for text in texts]
    obeyed += must
    is_whole = running.returncode == 0 and "report:" in said[0]
    if is_whole and not must:
      assert bits(workdir) == bits(whole[0])
      ended += 1
    else:
      look(must, running.returncode, *said)
  return obeyed


def _send(running, number, out):
  """Sends a signal, and returns whether it has to be obeyed.

  It is Python's own before the command has begun, which then hears SIGTERM; and
  once it has said its last word, it ends anyway.
  """
  running.send_signal(signal.SIGSTOP)
  about = pathlib.Path(f"/proc/{running.pid}/status")
  while "(stopped)" not in (words := about.read_text()):
    if "(zombie)" in words:
      return False
    time.sleep(0.01)
  heard = int(re.search(r"SigCgt:\t(\w+)", words)[1], 16)
  has_begun = heard >> (signal.SIGTERM - 1) & 1
  is_done = "report:" in out.read_text()
  running.send_signal(number)
  running.send_signal(signal.SIGCONT)
  return bool(has_begun and not is_done)


def _side_by_side(count, number, whole, tmp_path, look):
  cores = os.cpu_count()
  each = max(1, count // cores)
  with concurrent.futures.ThreadPoolExecutor(cores) as threads:
    found = [
      threads.submit(_end_until, each, number, whole, tmp_path / str(i), look)
      for i in range(cores)
    ]
    obeyed = sum(future.result() for future in found)
  print(f"{obeyed} of {each * cores} signals had to be obeyed, and were")
  assert obeyed > 0


def test_a_hundred_kills_change_no_bit(whole, tmp_path):
  def look(must, status, out, err):
    assert status == -signal.SIGKILL, err

  _side_by_side(TIMES, signal.SIGKILL, whole, tmp_path, look)


@pytest.mark.parametrize(
  "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 0)]
)
def test_a_hundred_times_it_is_asked_to_end_and_does(
  number, status, whole, tmp_path
):
  count = TIMES if number == signal.SIGINT else TIMES // 5

  def look(must, found, out, err):
    if not must:  # Python's own end, before all or after all.
      # Where it loads what it runs modules with, it ends with 1.
      is_pythons = found == 1 and "KeyboardInterrupt" in err and not out
      assert is_pythons or found == -number, (found, out, err)
      assert "cli.start(" not in err and (not out or "report:" in out), err
      return
    assert found == status, (found, out, err)
    assert "report:" not in out and "Traceback" not in err, (out, err)
    assert "stopped" in (out if number == signal.SIGTERM else out + err)

  _side_by_side(count, number, whole, tmp_path, look)


def test_of_two_starts_one_runs_and_the_other_says_so(whole, tmp_path):
  for number in range(max(1, TIMES // 5)):
    workdir = tmp_path / str(number)
    both = [_start(workdir) for _ in range(2)]
    said = [process.communicate() for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], said
    (line,) = said[codes.index(1)][1].splitlines()
    assert line.startswith(f"error: {workdir}: found it in use by process ")
    assert "remove" not in line
    assert bits(workdir) == bits(whole[0])
