"""Locks: one run at a time, and none that outlives its run."""

import json
import os
import subprocess
import sys
import threading
import time
import types

import pytest
from etils import epath

from sslprune_jax.runtime import locks

OWN = {
  "host": locks.socket.gethostname(),
  "boot": locks._boot(),
  "process": os.getpid(),
  "started": locks._start_of(os.getpid()),
  "token": "other",
  "since": "then",
  "beat": 3,
}


def _leave(folder, share=(0, 1), **changes):
  """Leaves the lock of another run."""
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / ".lock_{}_of_{}".format(*share)
  path.write_text(json.dumps(OWN | changes))
  return path


def _pass_time(monkeypatch, meanwhile):
  """Lets 30 seconds pass where the lock waits for one."""
  now = iter(range(0, 10_000, 30))
  clock = types.SimpleNamespace(
    monotonic=lambda: next(now),
    sleep=lambda _: meanwhile(),
    strftime=time.strftime,
  )
  monkeypatch.setattr(locks, "time", clock)


def _free(folder):
  return not list(folder.glob(".lock*"))


def test_a_folder_is_held_and_given_back(tmp_path):
  folder = tmp_path / "run"
  with locks.hold(folder, (0, 1)):
    found = json.loads((folder / ".lock_0_of_1").read_text())
    assert (found["host"], found["process"]) == (OWN["host"], os.getpid())
  assert _free(folder)
  with pytest.raises(KeyboardInterrupt), locks.hold(folder, (0, 1)):
    raise KeyboardInterrupt
  assert _free(folder)


@pytest.mark.parametrize(
  "share, other",
  [
    ((0, 1), (0, 1)),
    ((0, 1), (1, 2)),
    ((1, 3), (0, 2)),
    ((1, 2), (1, 2)),
  ],
)
def test_a_share_excludes_itself_and_those_of_another_number(
  share, other, tmp_path
):
  with locks.hold(tmp_path, other):
    words = f"^{tmp_path}: found it in use by process {os.getpid()} on .* since"
    with pytest.raises(locks.LockedError, match=words):
      with locks.hold(tmp_path, share):
        pass
    assert len(list(tmp_path.glob(".lock*"))) == 1


def test_shares_of_one_number_run_side_by_side(tmp_path):
  with locks.hold(tmp_path, (0, 2)), locks.hold(tmp_path, (1, 2)):
    assert len(list(tmp_path.glob(".lock*"))) == 2


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path):
  ended = subprocess.Popen([sys.executable, "-c", ""])
  ended.wait()
  for changes in (
    {"process": ended.pid},
    {"started": "0"},  # Its number was given to another process.
  ):
    for share in ((0, 1), (0, 2)):
      _leave(tmp_path, share, **changes)
    with locks.hold(tmp_path, (0, 1)):
      assert [p.name for p in tmp_path.glob(".lock*")] == [".lock_0_of_1"]
    assert _free(tmp_path)


_ELSEWHERE = [{"host": "elsewhere"}, {"boot": "of a host of the same name"}]


@pytest.mark.parametrize("where", _ELSEWHERE)
def test_a_run_elsewhere_that_beats_is_not_disturbed(
  where, tmp_path, monkeypatch
):
  path = _leave(tmp_path, **where)
  beats = iter(range(4, 99))
  _pass_time(
    monkeypatch,
    lambda: path.write_text(json.dumps(OWN | where | {"beat": next(beats)})),
  )
  with pytest.raises(locks.LockedError, match="on .* since then"):
    with locks.hold(tmp_path, (0, 1)):
      pass
  assert json.loads(path.read_text())["token"] == "other"


@pytest.mark.parametrize("where", _ELSEWHERE)
@pytest.mark.parametrize("content", [None, "", "{", "[]", "\0\0"])
def test_a_lock_elsewhere_that_stands_still_is_taken_over(
  content, where, tmp_path, monkeypatch
):
  path = _leave(tmp_path, **where)
  if content is not None:  # Damaged.
    path.write_text(content)
  _pass_time(monkeypatch, lambda: None)
  with locks.hold(tmp_path, (0, 1)):
    assert json.loads(path.read_text())["token"] != "other"


def test_it_beats_and_lets_go_of_what_another_has_taken(tmp_path, monkeypatch):
  monkeypatch.setattr(locks, "_BEAT", 0.01)
  path = tmp_path / ".lock_0_of_1"
  with locks.hold(tmp_path, (0, 1)):
    while json.loads(path.read_text())["beat"] < 2:
      pass
    other = json.dumps(OWN)
    path.write_text(other)
  assert path.read_text() == other


def test_of_two_that_find_a_stale_lock_one_takes_it(tmp_path):
  for number in range(40):
    folder = epath.Path(tmp_path / str(number))
    _leave(folder, process=2**22 + 1)
    both, taken = threading.Barrier(2), []

    def start(folder=folder, both=both, taken=taken):
      both.wait()
      try:
        taken.append(locks._take(folder, (0, 1)))
      except locks.LockedError:
        taken.append(None)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    (lock,) = filter(None, taken)
    assert json.loads((folder / ".lock_0_of_1").read_text()) == lock
    assert len(list(folder.glob(".lock*"))) == 1
