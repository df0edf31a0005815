"""Studies end to end: resumed = uninterrupted, one trace, clear errors."""

import gc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from etils import epath
from helpers import bits, die_after, short, traced_once

from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import ConfigError, DivergedError
from sslprune_jax.study import early, run
from sslprune_jax.training import checkpoints

ROOT = pathlib.Path(__file__).parent.parent


def _config(**fields):
  config = short()
  config.retrain.rounds = (2,)
  config.retrain.fraction = 0.1
  config.retrain.train.update(duration="8it", batch_size=32)
  for name, value in fields.items():
    *sections, last = name.split("__")
    section = config
    for part in sections:
      section = section[part]
    section[last] = value
  return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A study that was never killed."""
  workdir = tmp_path_factory.mktemp("whole")
  run.run(_config(), workdir)
  return workdir


def test_densities_are_the_rates_and_tickets_are_w_k_under_the_mask(whole):
  text = (whole / "results.jsonl").read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  assert len(lines) == 2 * (3 + 3)
  for line in lines:
    assert abs(line["kept"] - line["prunable"] * 0.8 ** line["round"]) <= 2
  dense, sparse = (
    tickets.load(whole / f"seed_0/rotnet/round_{i:02d}/ticket.npz")
    for i in (0, 2)
  )
  mask = sparse.masks["trunk"]["stage3"]["conv"]["kernel"]
  weights = [
    t.params["trunk"]["stage3"]["conv"]["kernel"] for t in (dense, sparse)
  ]
  np.testing.assert_array_equal(weights[1], weights[0] * mask)
  assert not list(whole.glob("**/checkpoint")), "left after the stage was done"


def test_the_second_run_changes_nothing(whole):
  before = bits(whole)
  run.run(_config(), whole)
  assert bits(whole) == before


def test_a_trace_is_written_and_changes_nothing(whole, tmp_path):
  run.run(_config(profile=1), tmp_path)
  traces = tmp_path.glob("**/perfetto_trace.json.gz")
  stages = {
    str(path.relative_to(tmp_path)).split("/trace/")[0] for path in traces
  }
  # Of each kind of training the first run.
  assert stages == {
    "seed_0/rotnet/round_00",
    "seed_0/rotnet/retrain/round_02/rewind",
  }
  assert bits(tmp_path) == bits(whole)


def test_killed_in_a_round_and_resumed_ends_in_the_same_bits(
  whole, tmp_path, monkeypatch
):
  # Three moments, each with a checkpoint behind it: in the dense run, in round
  # 1 and in retraining.
  for updates in (8, 7 + 4, 7 + 9 + 6):
    with monkeypatch.context() as patch:
      die_after(updates, patch)
      with pytest.raises(KeyboardInterrupt):
        run.run(_config(), tmp_path)
  run.run(_config(), tmp_path)
  assert bits(tmp_path) == bits(whole)


def test_one_trace_of_each_step_for_all_rounds(tmp_path, monkeypatch):
  traces = traced_once(monkeypatch)
  run.run(_config(), tmp_path)
  assert sorted(traces) == ["Labels", "RotNet"]


@pytest.mark.parametrize("keeps", [True, False])
def test_w_k_is_read_once_for_all_rounds_if_memory_allows(
  keeps, whole, tmp_path, monkeypatch
):
  read = []
  real = checkpoints.Checkpoints.rewind

  def rewind(self, update, *like):
    read.append(update)
    return real(self, update, *like)

  monkeypatch.setattr(checkpoints.Checkpoints, "rewind", rewind)
  monkeypatch.setattr(early, "_host_bytes", lambda: 2**40 if keeps else 0)
  run.run(_config(), tmp_path)
  assert read == [3] * (1 if keeps else 3)
  assert bits(tmp_path) == bits(whole)


def _saved(tmp_path, count=2):
  """Leaves a dense run that stopped after some checkpoints."""
  seen = 0
  real = checkpoints.Checkpoints.save

  def save(self, update, state):
    nonlocal seen
    real(self, update, state)
    seen += self.directory.name == "checkpoint"
    if seen == count:
      raise KeyboardInterrupt

  checkpoints.Checkpoints.save = save
  try:
    with pytest.raises(KeyboardInterrupt):
      run.run(_config(), tmp_path)
  finally:
    checkpoints.Checkpoints.save = real
  return tmp_path / "seed_0/rotnet/round_00/checkpoint"


def _largest(folder):
  return max(
    (p for p in folder.rglob("*") if p.is_file()),
    key=lambda p: p.stat().st_size,
  )


def _truncate(folder):
  path = _largest(folder)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(folder):
  # Orbax restores this without a word.
  path = _largest(folder)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(bytes(content))


def _empty(folder):
  epath.Path(folder).rmtree()
  folder.mkdir()


# Orbax leaves coroutines behind when a read fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", [_truncate, _flip, _empty])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
  damage, whole, tmp_path, caplog
):
  folder = _saved(tmp_path)
  assert sorted(int(p.name) for p in folder.iterdir()) == [5, 10]
  damage(folder / "10")
  run.run(_config(), tmp_path)
  gc.collect()
  assert "checkpoint/10" in caplog.text
  assert "the one before it is used" in caplog.text
  assert bits(tmp_path) == bits(whole)


@pytest.mark.slow
def test_kill_9_and_the_same_command_end_in_the_same_bits(tmp_path):
  command = [
    sys.executable, "-m", "sslprune_jax.main",
    f"--config={ROOT}/configs/rotnet.py:digits",
    "--config.seeds=(0,)", "--config.prune.rounds=1",
    "--config.retrain.rounds=(1,)", "--config.retrain.inits=('rewind',)",
    "--config.train.duration=60it", "--config.retrain.train.duration=20it",
    "--config.rotnet.copies=1", "--config.log.checkpoint=10it",
  ]  # fmt: skip
  environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

  def start(name):
    return subprocess.Popen(
      [*command, f"--workdir={name}"], env=environment, cwd=tmp_path
    )

  assert start("whole").wait() == 0
  dense = tmp_path / "killed/seed_0/rotnet/round_00"
  # Once the dense run saved something, and once the second round has begun.
  for sign in (
    dense / "checkpoint/20",
    dense.parent / "round_01/metrics.jsonl",
  ):
    process = start("killed")
    while not sign.exists() and process.poll() is None:
      time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
  assert start("killed").wait() == 0
  assert bits(tmp_path / "killed") == bits(tmp_path / "whole")
  assert (tmp_path / "killed/report.html").exists()


def test_another_configuration_stops_and_shows_the_difference(whole):
  with pytest.raises(
    ConfigError, match="config.prune.rate: 0.2 there, 0.5 now"
  ):
    run.run(_config(prune__rate=0.5), whole)


def test_a_finished_study_grows_by_a_seed_and_keeps_what_it_found(
  whole, tmp_path
):
  grown = tmp_path / "grown"
  shutil.copytree(whole, grown)
  before = (grown / "results.jsonl").read_text()
  asked = run.run(_config(seeds=(1,)), grown)
  assert {line["seed"] for line in asked} == {1}
  after = (grown / "results.jsonl").read_text()
  assert after.startswith(before) and len(after) > len(before)
  assert [json.loads(x) for x in after[len(before) :].splitlines()] == asked
  kept = json.loads((grown / "config.json").read_text())
  assert kept["config"]["seeds"] == [0, 1]
  # Fewer rounds than there are: nothing is run, and nothing is lost.
  run.run(_config(prune__rounds=1, retrain__rounds=()), grown)
  assert (grown / "results.jsonl").read_text() == after


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("prune__rewind", "12it", "config.prune.rewind: .*update 12"),
    ("model__outputs", 9, "config.model.outputs: found 9.*10 classes"),
    ("prune__first_layers", 5, "config.prune.first_layers: .*4 layers"),
    ("train__batch_size", 5000, "config.train.batch_size: .*1438 training"),
    ("prune__rate", 1.0, "config.prune.rate: found 1.0, expected .*0 and 1"),
    ("train__duration", "3", "config.train.duration: .*its unit"),
    ("tasks", ("labels", "jigsaw"), "config.tasks: .*'jigsaw'"),
    ("retrain__rounds", (0, 3), "config.retrain.rounds: .*0 to 2"),
    ("seeds", (0, 0), "config.seeds: "),
    ("seeds", (2**32,), "config.seeds: found .*0 to 4294967295"),
    ("seeds", (True,), "config.seeds: found .True,.*whole numbers"),
    ("dataset__std", (0.0,), "config.dataset.std: .*a number above 0"),
    ("dataset__std", (95.9,), "config.dataset.std: .*at most 1"),
    ("dataset__std", (float("nan"),), "config.dataset.std: found .nan"),
    ("dataset__mean", (77.8,), "config.dataset.mean: .*from 0 to 1"),
    ("dataset__crop_scale", (0.5, 0.2), "config.dataset.crop_scale: "),
    ("views__crop_scale", (0.5, 0.2), "config.views.crop_scale: "),
    ("views__rotation", 200.0, "config.views.rotation: found 200"),
    ("dataset__jitter", (0.1, 0.1, 0.1, 0.6), "config.dataset.jitter: .*0.5"),
    ("dataset__grey", 1.5, "config.dataset.grey: found 1.5"),
    ("dataset__rotation", -1.0, "config.dataset.rotation: found -1.0"),
  ],
)
def test_impossible_values_are_refused_by_name(field, value, words, tmp_path):
  with pytest.raises(ConfigError, match=words):
    run.run(_config(**{field: value}), tmp_path / "none")
  assert not (tmp_path / "none").exists(), "something was written"


def test_rounds_that_leave_no_weight_are_refused_before_training(tmp_path):
  config = _config(prune__rate=0.99, prune__rounds=9, retrain__rounds=())
  words = "config.prune.rounds: found 9, expected at most 1: .* none"
  with pytest.raises(ConfigError, match=words):
    run.run(config, tmp_path / "none")
  assert not (tmp_path / "none").exists()


def test_divergence_names_the_last_good_checkpoint(tmp_path):
  config = _config(train__optimizer="sgd", train__learning_rate=1e30)
  with pytest.raises(DivergedError, match="last good checkpoint: none"):
    run.run(config, tmp_path)
  # What was logged before is labelled with the update that it was.
  path = tmp_path / "seed_0/rotnet/round_00/metrics.jsonl"
  updates = [json.loads(x)["update"] for x in path.read_text().splitlines()]
  assert all(update < 12 for update in updates)
