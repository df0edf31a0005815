"""Studies of one configuration: what they share, and how they are divided."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import chex
import jax
import numpy as np
import pytest
from helpers import bits, short, traced_once

from sslprune_jax.config import variants
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import sparsity, tickets
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import results
from sslprune_jax.study import run as run_lib
from sslprune_jax.training import loop, trainer

ROOT = pathlib.Path(__file__).parent.parent
STARTS = ("rewind", "reinit", "random", "adjusted")


def _config():
  """Returns a study of label masks and one of RotNet's."""
  config = short()
  config.seeds = (0, 1)
  config.retrain.rounds = (0, 2)
  config.retrain.fraction = 0.1
  config.retrain.train.update(duration="4it", batch_size=32)
  for task in ("labels", "rotnet"):
    study = config.copy_and_resolve_references()
    study.tasks = (task,)
    # So fast that some weights are driven far: all are alive at first.
    study.retrain.inits = STARTS if task == "labels" else STARTS[:2]
    variants.add(config, task, study)
  return config


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """The study in one process, and where each of its trainings started."""
  workdir, started = tmp_path_factory.mktemp("whole"), {}
  new_state, train = trainer.Trainer.new_state, loop.train

  def begun(self, variables, masks, *args, **kwargs):
    started["next"] = jax.device_get((variables["params"], masks))
    return new_state(self, variables, masks, *args, **kwargs)

  def trained(trainer, state, images, directory, *args, **kwargs):
    started[str(directory.relative_to(workdir))] = started.pop("next")
    return train(trainer, state, images, directory, *args, **kwargs)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(trainer.Trainer, "new_state", begun)
    patch.setattr(loop, "train", trained)
    run_lib.run(_config(), workdir)
  return workdir, started


def _trunk(tree):
  return {k: np.asarray(v) for k, v in masks_lib.prunable(tree).items()}


def _weights(params, masks):
  names = masks_lib.prunable(masks)
  leaves = {
    "/".join(str(k.key) for k in path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
  return {name: np.asarray(leaves[name]) for name in names}


def test_label_masks_rotnet_masks_reinits_and_both_controls_differ(whole):
  workdir, started = whole
  found = {
    (task, start): started[f"{task}/seed_0/{task}/retrain/round_02/{start}"]
    for task, starts in (("labels", STARTS), ("rotnet", STARTS[:2]))
    for start in starts
  }
  masks = {key: _trunk(of[1]) for key, of in found.items()}
  weights = {key: _weights(*of) for key, of in found.items()}
  chex.assert_tree_all_finite(weights)  # NaN equals NaN below.

  def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)

  for task in ("labels", "rotnet"):
    folder = workdir / f"{task}/seed_0/{task}/round_02"
    ticket = tickets.load(folder / "ticket.npz")
    dense = tickets.load(folder.parent / "round_00/ticket.npz")
    # The winning ticket: W_k of the run that found the mask.
    chex.assert_trees_all_equal(masks[task, "rewind"], _trunk(ticket.masks))
    early = jax.tree.map(
      np.multiply,
      _weights(dense.params, dense.masks),
      masks[task, "rewind"],
    )
    chex.assert_trees_all_equal(weights[task, "rewind"], early)
    # Re-init: the same mask, a fresh draw, the same for both tasks.
    chex.assert_trees_all_equal(masks[task, "reinit"], masks[task, "rewind"])
    assert not same(weights[task, "reinit"], weights[task, "rewind"])
  assert not same(masks["labels", "rewind"], masks["rotnet", "rewind"])
  chex.assert_trees_all_equal(
    weights["labels", "reinit"], weights["rotnet", "reinit"]
  )
  # The controls: as many weights, elsewhere, from the same fresh draw.
  of_labels = masks["labels", "rewind"]
  kept = sum(mask.sum() for mask in of_labels.values())
  for control in ("random", "adjusted"):
    mask = masks["labels", control]
    assert sum(m.sum() for m in mask.values()) == kept
    assert not same(mask, of_labels)
    chex.assert_trees_all_equal(
      weights["labels", control], weights["labels", "reinit"]
    )
  assert not same(masks["labels", "random"], masks["labels", "adjusted"])
  trained = tickets.load(workdir / "labels/seed_0/labels/round_00/trained.npz")
  alive = _trunk(
    sparsity.nonzero_masks(
      trained.params, trained.masks, sparsity.MACHINE_PRECISION
    )
  )
  for name, mask in masks["labels", "adjusted"].items():
    assert not (mask & ~alive[name]).any()


def test_a_control_without_a_mask_is_reinit_and_is_not_trained(whole):
  workdir, started = whole
  folder = workdir / "labels/seed_0/labels/retrain/round_00"
  values = {
    start: [line["value"] for line in results.read(folder / start)]
    for start in STARTS
  }
  assert values["random"] == values["adjusted"] == values["reinit"]
  assert values["rewind"] != values["reinit"]
  assert not any("round_00/random" in path for path in started)


def test_the_overlaps_are_those_of_the_tickets(whole):
  workdir, _ = whole
  lines = [
    json.loads(line)
    for line in (workdir / "overlaps.jsonl").read_text().splitlines()
  ]
  assert [(line["seed"], line["round"]) for line in lines] == [(0, 2), (1, 2)]
  a, b = (
    _trunk(tickets.load(workdir / f"{t}/seed_1/{t}/round_02/ticket.npz").masks)
    for t in ("labels", "rotnet")
  )
  for layer in lines[1]["layers"]:
    name = layer["path"]
    assert layer["both"] == (a[name] & b[name]).sum()
    assert (layer["a"], layer["b"]) == (a[name].sum(), b[name].sum())


@pytest.mark.slow
def test_shares_that_are_joined_are_the_whole(whole, tmp_path):
  for share in ((1, 3), (0, 3), (2, 3)):
    run_lib.run(_config(), tmp_path, share)
  joined = run_lib.run(_config(), tmp_path)
  assert bits(tmp_path) == bits(whole[0])
  lines = [
    json.loads(line)
    for task in ("labels", "rotnet")
    for line in (tmp_path / task / "results.jsonl").read_text().splitlines()
  ]
  assert joined == lines


def test_variants_that_differ_in_pruning_share_their_steps(
  tmp_path, monkeypatch
):
  traces = traced_once(monkeypatch)
  config = short()
  for layers in (1, 2, 0):
    study = config.copy_and_resolve_references()
    study.prune.first_layers = layers
    variants.add(config, f"first_{layers}", study)
  results = run_lib.run(config, tmp_path)
  assert traces == ["RotNet"]
  # Pruning the first layers touches nothing else.
  for layers in (1, 2):
    folder = tmp_path / f"first_{layers}/seed_0/rotnet/round_02"
    report = json.loads((folder / "sparsity.json").read_text())["layers"]
    kept = [layer["kept"] == layer["total"] for layer in report]
    assert kept == [i >= layers for i in range(4)]
  ranked = [r["density_of_ranked"] for r in results if r["round"] == 2]
  np.testing.assert_allclose(ranked, 0.64, atol=0.01)


def test_an_impossible_variant_stops_all_before_anything_is_written(tmp_path):
  config = _config()
  with config.unlocked():
    config.variants.rotnet.update({"prune": {"rewind": "12it"}})
  with pytest.raises(ConfigError, match="config.prune.rewind: .*update 12"):
    run_lib.run(config, tmp_path / "none")
  assert not (tmp_path / "none").exists()


_COMMAND = [
  sys.executable, "-m", "sslprune_jax.main",
  f"--config={ROOT}/configs/paper/fig7_rewind.py:digits",
  "--config.seeds=(0,1)", "--config.prune.rounds=1",
  "--config.retrain.rounds=(1,)", "--config.train.duration=50it",
  "--config.retrain.train.duration=20it",
  "--config.variants.share.prune.rewind=7it",
]  # fmt: skip


def _start(tmp_path, name, *more):
  environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
  return subprocess.Popen(
    [*_COMMAND, f"--workdir={name}", *more],
    env=environment,
    cwd=tmp_path,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


@pytest.mark.slow
def test_two_processes_killed_and_started_again_end_in_the_bits_of_one(
  tmp_path,
):
  one = _start(tmp_path, "one", "--processes=1")
  assert one.wait() == 0, one.stdout.read()
  one.stdout.close()
  two = _start(tmp_path, "two", "--processes=2")
  done = tmp_path / "two/epochs/seed_1/labels/round_00/result.json"
  while not done.exists() and two.poll() is None:
    time.sleep(0.02)
  two.send_signal(signal.SIGKILL)
  two.communicate()  # Ends once both processes have let go of its output.
  before = bits(tmp_path / "two")
  time.sleep(1.0)
  assert bits(tmp_path / "two") == before, "a process outlived its parent"
  again = _start(tmp_path, "two", "--processes=2")
  said, _ = again.communicate()
  assert again.returncode == 0, said
  assert bits(tmp_path / "two") == bits(tmp_path / "one")
  assert (tmp_path / "two/figures/fig7_rewind_digits.pdf").exists()


def test_a_process_that_fails_ends_the_run_with_its_words(tmp_path):
  process = _start(
    tmp_path,
    "bad",
    "--processes=2",
    "--config.variants.share.train.batch_size=5000",
  )
  said, _ = process.communicate()
  assert process.returncode == 1
  (error,) = (line for line in said.splitlines() if line.startswith("error"))
  assert error.startswith("error: config.train.batch_size: found 5000")
