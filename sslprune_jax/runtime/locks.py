"""One run at a time in a folder, or in a share of it.

A lock is a file that says who holds it: host, boot, process, and a beat that
the holder counts on. A lock of this host is stale when its process is gone; one
of another host, or of another boot, which may be that of another host with the
same name, when its beat stands still. The file is made exclusively, which NFS
does too; in a bucket two that start at the same moment may both believe to be
alone.
"""

import contextlib
import json
import os
import pathlib
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from absl import logging
from etils import epath

from sslprune_jax.runtime import files, processes
from sslprune_jax.runtime.errors import UserError

_BEAT = 15  # seconds between beats
_STILL = 120  # seconds without a beat after which a holder elsewhere is gone
_NAME = re.compile(r"\.lock_(\d+)_of_(\d+)")


class LockedError(UserError):
  """Another run uses the folder."""


@contextlib.contextmanager
def hold(folder: epath.PathLike, share: tuple[int, int]) -> Iterator[None]:
  """Holds a share of a folder; of several processes the first one holds it.

  Args:
    folder: folder, made if it is not there.
    share: (i, n), the i-th of n; a share excludes itself and all of another n.

  Raises:
    LockedError: names who holds it, or one that excludes it.
    OSError: nothing can be written there.
  """
  folder = epath.Path(folder)
  lock = processes.from_first(lambda: _take(folder, share))
  ended = threading.Event()
  if processes.is_first():
    path = folder / _file_name(share)
    threading.Thread(
      target=_keep, args=(path, lock, ended), daemon=True
    ).start()
  try:
    yield
  finally:
    ended.set()
    if processes.is_first():
      with contextlib.suppress(OSError):
        if (_read(path) or {}).get("token") == lock["token"]:
          path.unlink()


def unless_shared(folder: epath.Path, advice: str) -> str:
  """Returns advice to remove what lies in a folder, if nobody else uses it.

  Args:
    folder: folder of a study; of variants the one lock lies above it.
    advice: words, which are of no use where another share is held.
  """
  for path in (p for f in (folder, folder.parent) for p in f.glob(".lock_*")):
    found = _read(path)
    if found is not None and not _is_own(found):
      return ", as another run uses this one"
  return advice


def _is_own(found: dict[str, Any]) -> bool:
  own = socket.gethostname(), _boot(), os.getpid()
  return tuple(found.get(name) for name in ("host", "boot", "process")) == own


def _file_name(share: tuple[int, int]) -> str:
  return ".lock_{}_of_{}".format(*share)


def _take(folder: epath.Path, share: tuple[int, int]) -> dict[str, Any]:
  """Makes the file of a lock; returns what is in it."""
  folder.mkdir(parents=True, exist_ok=True)
  own = {
    "host": socket.gethostname(),
    "boot": _boot(),
    "process": os.getpid(),
    "started": _start_of(os.getpid()),
    "token": uuid.uuid4().hex,
    "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    "beat": 0,
  }
  path = folder / _file_name(share)
  while not _make(path, own):
    _refuse_or_remove(path, own)
  try:
    # After its own is there: of two that exclude each other one sees the other.
    for other in folder.glob(".lock_*_of_*"):
      match = _NAME.fullmatch(other.name)
      if match and int(match[2]) != share[1]:
        _refuse_or_remove(other, own)
  except LockedError:
    path.unlink()
    raise
  return own


def _make(path: epath.Path, own: dict[str, Any]) -> bool:
  """Makes a file that is not there yet; returns whether this process did."""
  text = json.dumps(own)
  if files.in_bucket(path):
    if path.exists():
      return False
    path.write_text(text)
    return (_read(path) or {}).get("token") == own["token"]
  # Written whole before it has its name.
  whole = path.parent / f"{path.name}.{own['token']}"
  whole.write_text(text)
  try:
    os.link(whole, path)
  except FileExistsError:
    return False
  except OSError:  # A file system without hard links.
    try:
      with open(path, "x") as file:
        file.write(text)
    except FileExistsError:
      return False
  finally:
    whole.unlink()
  return True


def _refuse_or_remove(path: epath.Path, own: dict[str, Any]) -> None:
  """Removes a stale lock.

  Raises:
    LockedError: its holder is alive.
  """
  found = _read(path)
  if found is None:
    return  # Given back meanwhile.
  if not _is_stale(path, found, own):
    if not path.exists():
      return  # Given back while it was watched.
    raise LockedError(
      f"{path.parent}: found it in use by process {found.get('process')} on "
      f"{found.get('host')} since {found.get('since')}, expected one run at a "
      "time; wait for that one, or choose another folder"
    )
  # Moved before it is removed: where another run has taken it over meanwhile,
  # that one's lock is put back.
  aside = path.parent / f"{path.name}.{own['token']}"
  with contextlib.suppress(FileNotFoundError):
    path.rename(aside)
    taken = _read(aside)
    if taken is not None and taken.get("token") != found.get("token"):
      with contextlib.suppress(OSError):
        os.link(aside, path)
    aside.unlink()


def _is_stale(
  path: epath.Path, found: dict[str, Any], own: dict[str, Any]
) -> bool:
  """Returns whether the holder of a lock is gone."""
  # Two machines may have one name; one that was started again has another boot.
  if (found.get("host"), found.get("boot")) == (own["host"], own["boot"]):
    number = found.get("process")
    started = _start_of(number) if isinstance(number, int) else None
    return started is None or started != found.get("started")
  # Clocks of hosts differ: that it beats is seen, not computed.
  logging.warning(
    "%s: held by a run on %s: waiting for a sign of life of it, %d s at most",
    *(path.parent, found.get("host"), _STILL),
  )
  until = time.monotonic() + _STILL
  while time.monotonic() < until:
    time.sleep(1)
    now = _read(path)
    if now != found:
      return False
  return True


def _keep(
  path: epath.Path, lock: dict[str, Any], ended: threading.Event
) -> None:
  """Beats until the run has ended."""
  while not ended.wait(_BEAT):
    lock["beat"] += 1
    with contextlib.suppress(OSError):  # A full disk is the run's to report.
      if (_read(path) or {}).get("token") == lock["token"]:
        files.write(path, json.dumps(lock).encode())


def _read(path: epath.Path) -> dict[str, Any] | None:
  """Reads a lock; {} of one that is no lock, None where there is none."""
  try:
    found = json.loads(path.read_text())
  except FileNotFoundError:
    return None
  except ValueError:
    return {}
  return found if isinstance(found, dict) else {}


def _boot() -> str:
  """Returns what tells this start of the machine from others, if it says."""
  try:
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
  except OSError:
    return ""


def _start_of(process: int) -> str | None:
  """Returns when a process of this host started; None: there is no such one."""
  try:
    stat = pathlib.Path(f"/proc/{process}/stat").read_text()
    # Behind the name of the program, which may hold anything.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
  except FileNotFoundError:
    if pathlib.Path("/proc/self").exists():
      return None
  try:  # A system without /proc.
    os.kill(process, 0)
  except OSError:
    return None
  return ""
