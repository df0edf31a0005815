"""Processes that run one study: preempted, killed, and not alike."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from helpers import NARROW, bits

from sslprune_jax.runtime import processes

ROOT = pathlib.Path(__file__).parent.parent
_STUDY = (
  f"--config={ROOT}/configs/rotnet.py:digits",
  *NARROW,
  "--config.train.duration=30it",
  "--config.retrain.rounds=()",
  "--config.log.checkpoint=10it",
)
_ROUND = "seed_0/rotnet/round_01"


def _address():
  with socket.create_server(("localhost", 0)) as free:
    return f"localhost:{free.getsockname()[1]}"


_LISTENS = """
import os, sys
from sslprune_jax.runtime import processes
host, port = sys.argv[1].split(":")
processes.start(sys.argv[1], 0, 1)
for table in ("tcp", "tcp6"):
  for line in open(f"/proc/net/{table}").readlines()[1:]:
    _, local, _, state, *_ = line.split()
    if local.endswith(f":{int(port):04X}") and state == "0A":
      print(local.partition(":")[0], flush=True)
os._exit(0)
"""
_LOOPBACK = {"0100007F", 24 * "0" + "01000000", 16 * "0" + "FFFF00000100007F"}


def test_the_coordinator_listens_where_it_was_told_to_and_nowhere_else():
  run = subprocess.run(
    [sys.executable, "-c", _LISTENS, _address()],
    capture_output=True,
    text=True,
  )
  assert run.returncode == 0, run.stderr
  found = set(run.stdout.split())
  assert found and found <= _LOOPBACK


def _start(workdir, *flags, devices=2):
  flag = f"--xla_force_host_platform_device_count={devices}"
  return subprocess.Popen(
    [sys.executable, "-m", "sslprune_jax.main", *_STUDY]
    + [f"--workdir={workdir}", *flags],
    env={**os.environ, "XLA_FLAGS": flag},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _start_both(workdir, *flags_of_second):
  address = _address()
  return [
    _start(
      workdir if i == 0 else workdir / "not_seen",
      f"--coordinator={address}",
      f"--process={i}/2",
      *(flags_of_second if i else ()),
    )
    for i in range(2)
  ]


def _ends(running, timeout=600):
  """Returns how processes ended, and what they said."""
  found = [process.communicate(timeout=timeout)[0] for process in running]
  return [process.returncode for process in running], found


def _await_updates(workdir, count):
  """Waits until round 1 has made some updates."""
  path, until = workdir / _ROUND / "metrics.jsonl", time.monotonic() + 600
  while not path.exists() or len(path.read_text().splitlines()) < count:
    assert time.monotonic() < until
    time.sleep(0.01)


def test_sigterm_in_a_round_saves_and_the_same_command_ends_in_the_same_bits(
  tmp_path,
):
  undisturbed = _start(tmp_path / "whole", devices=1)
  assert _ends([undisturbed])[0] == [0]
  running = _start(tmp_path / "run", devices=1)
  _await_updates(tmp_path / "run", 5)
  running.send_signal(signal.SIGTERM)
  codes, (said,) = _ends([running])
  assert codes == [0]
  assert said.endswith("stopped by SIGTERM; resume with the same command\n")
  assert not (tmp_path / "run" / _ROUND / "result.json").exists()
  saved = [
    int(path.name)
    for path in (tmp_path / "run" / _ROUND / "checkpoint").iterdir()
  ]
  lines = (tmp_path / "run" / _ROUND / "metrics.jsonl").read_text()
  assert max(saved) == 3 + len(lines.splitlines()), "an update was lost"
  assert _ends([_start(tmp_path / "run", devices=1)])[0] == [0]
  assert bits(tmp_path / "run") == bits(tmp_path / "whole")


@pytest.mark.slow
def test_sigterm_to_one_process_ends_both_and_loses_nothing(tmp_path):
  whole, stopped = tmp_path / "whole", tmp_path / "stopped"
  codes, said = _ends(_start_both(whole))
  assert codes == [0, 0], said
  assert "report:" in said[0] and "report:" not in said[1]
  running = _start_both(stopped)
  _await_updates(stopped, 5)
  running[1].send_signal(signal.SIGTERM)
  codes, said = _ends(running)
  assert codes == [0, 0], said
  assert "resume with the same command" in said[0]
  assert not (stopped / _ROUND / "result.json").exists()
  codes, said = _ends(_start_both(stopped))
  assert codes == [0, 0], said
  assert bits(stopped) == bits(whole)


def test_a_killed_process_ends_the_other_and_one_device_goes_on(tmp_path):
  running = _start_both(tmp_path)
  _await_updates(tmp_path, 12)
  running[1].kill()
  codes, said = _ends(running)
  assert codes[0]
  last = said[0].splitlines()[-1]
  assert last.startswith("error: this process was ended"), said
  assert "The same command goes on from here" in last
  codes, said = _ends([_start(tmp_path, devices=1)])
  assert codes == [0], said
  lines = (tmp_path / _ROUND / "metrics.jsonl").read_text().splitlines()
  assert len(lines) == 30 - 3
  assert (tmp_path / _ROUND / "result.json").exists()


def test_processes_that_differ_are_refused_by_field(tmp_path):
  codes, said = _ends(_start_both(tmp_path, "--config.prune.rate=0.3"))
  assert codes == [1, 1]
  for words in said:
    assert (
      "error: config.prune.rate: 0.2 in process 0, 0.3 in 1; expected the same"
      in words
    )
    assert "Traceback" not in words


def test_a_coordinator_that_does_not_answer_is_named(monkeypatch):
  monkeypatch.setattr(processes, "_START_TIMEOUT", 0.5)
  address = _address()
  with pytest.raises(processes.ProcessError, match=f"{address}: nobody answer"):
    processes.start(address, 1, 2)


def test_a_port_that_is_taken_is_named():
  with socket.create_server(("", 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(
      processes.ProcessError, match=f"localhost:{port}: cannot listen there"
    ):
      processes.start(f"localhost:{port}", 0, 2)


@pytest.mark.parametrize(
  "coordinator, chosen, port",
  [("a:12", "34", "12"), ("auto", "34", "34"), ("auto", None, "8482, on Cl")],
)
def test_the_last_words_name_the_port(coordinator, chosen, port, monkeypatch):
  if chosen:
    monkeypatch.setenv("JAX_COORDINATOR_PORT", chosen)
  else:
    monkeypatch.delenv("JAX_COORDINATOR_PORT", raising=False)
  code = [sys.executable, "-c", processes._LAST_WORDS]
  code.append(processes._door(coordinator))
  run = subprocess.run(code, input="", capture_output=True, text=True)
  assert f"reach port {port}" in run.stderr and "firewall" in run.stderr
  assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
  "flags, words",
  [
    (["--process=0/2"], "--process: expected together with --coordinator"),
    (["--coordinator=a:1"], "--process: expected together with --coordinator"),
    (["--coordinator=a:1", "--process=2/2"], "--process: found '2/2'"),
    (["--coordinator=a", "--process=0/2"], "found 'a', expected auto or HOST"),
    (["--coordinator=auto", "--processes=2"], "found --processes or --share"),
    (["--coordinator=auto"], "found no job of several processes"),
  ],
)
def test_flags_that_make_no_sense_are_one_line(flags, words, tmp_path):
  codes, (said,) = _ends([_start(tmp_path / "run", *flags)])
  assert codes == [1]
  assert said.startswith("error: ") and len(said.splitlines()) == 1, said
  assert words in said
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "error", [processes.ProcessError("found 1"), SystemExit("error: found 1")]
)
def test_what_the_first_process_raises_is_raised_in_all(monkeypatch, error):
  sent = []

  def send(content):
    sent.append(content)
    return sent[0]

  def fail():
    raise error

  monkeypatch.setattr(processes, "_count", 2)
  monkeypatch.setattr(processes, "_send", send)
  for index in range(2):
    monkeypatch.setattr(processes, "_index", index)
    with pytest.raises(type(error), match="found 1"):
      processes.from_first(fail if index == 0 else None)
  assert len(sent) == 2
