"""Processes that divide the seeds: what they print, and their errors."""

import subprocess
import sys

import pytest

from sslprune_jax.runtime import workers


def _print(*lines, status):
  code = f"import sys; print({chr(10).join(lines)!r}); sys.exit({status})"
  return subprocess.Popen(
    [sys.executable, "-I", "-S", "-c", code],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _finish(processes):
  """Waits for processes that have ended, and returns what is raised."""
  for process in processes:
    while process.poll() is None:
      pass
  with pytest.raises(workers.ShareError) as raised:
    workers.finish(processes)
  for process in processes:
    process.stdin.close()
    process.stdout.close()
  return str(raised.value)


def test_what_all_processes_refuse_is_one_error(capsys):
  both = [_print("a line", "error: found 1", status=1) for _ in range(2)]
  assert _finish(both) == "found 1"
  said = capsys.readouterr()
  assert "error" not in said.out and set(said.out.split("\n")) == {"a line", ""}


def test_a_process_takes_one_of_the_devices_that_the_user_chose(monkeypatch):
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  assert workers.device(1)["CUDA_VISIBLE_DEVICES"] == "1"
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 3")
  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  found = [workers.device(i)["CUDA_VISIBLE_DEVICES"] for i in range(2)]
  assert found == ["2", "3"]
  with pytest.raises(workers.ShareError, match="DEVICES=2, 3, expected a dev"):
    workers.start("no_module", [], 3)
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # Where there are none to share.
  assert workers.device(2)["TPU_VISIBLE_CHIPS"] == "2"


def test_a_defect_is_shown_as_it_is(capsys):
  words = _finish([_print("Traceback", status=1)])
  assert words == "one of the processes has failed: see above"
  assert capsys.readouterr().out == "Traceback\n"
