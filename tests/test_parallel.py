"""One device, four, two processes of two: the same losses and masks."""

import json
import os
import socket
import subprocess
import sys

import chex
import numpy as np
import pytest
from helpers import save_drawn

from sslprune_jax.pruning import tickets

TASKS = ("rotnet", "npid", "deepcluster", "exemplar")
_SCRIPT = """
import sys
from sslprune_jax.runtime import processes

workdir, start, *joined = sys.argv[1:]
if joined:
  processes.start(joined[0], int(joined[1]), 2)

from sslprune_jax.config import recipes
from sslprune_jax.study import run

config = recipes.study("rotnet", "digits")
config.model.batch_norm = "global"
config.tasks = ("rotnet", "npid", "deepcluster", "exemplar")
config.npid.update(objective="nce", negatives=300)
config.deepcluster.update(clusters=10, components=16)
config.seeds = (0,)
config.prune.update(rounds=1, rewind="2it")
config.train.update(duration="6it", batch_size=64, optimizer="sgd",
                    learning_rate=0.001)
config.retrain.rounds = ()
config.transfer.update(
  protocols=("linear:digits", "knn:digits", "svm:digits:0.1"), rounds=()
)
config.transfer.linear.train.update(duration="2ep")
config.transfer.svm.costs = (1.0,)
config.log.every = "1it"
run.run(config, workdir)

config.start, config.model.name, config.tasks = start, "", ("distil",)
config.transfer.update(protocols=("fidelity:digits",), rounds=(0, 1))
run.run(config, workdir + "/distil")

config.tasks, config.transfer.protocols = ("rotnet",), ()
config.prune.update(train_dense=False, rewind="0it", structure="channels",
                    criterion="taylor", multiple=2, batches=2)
run.run(config, workdir + "/channels")

# The same weights are pruned to the same masks, however many devices hold them.
import jax
import numpy as np
from sslprune_jax import models
from sslprune_jax.pruning import magnitude, masks
from sslprune_jax.runtime import devices, files, trees
from sslprune_jax.training import state

network = models.build("convnet", 4)
params = state.initialize(network, (8, 8, 1), jax.random.key(0))["params"]
dense = devices.replicate(masks.dense(params))
scores = magnitude.score("magnitude", devices.replicate(params), dense)
pruned = magnitude.prune(scores, dense, 0.2, np.random.default_rng(0))
found = {"digests": trees.digests(pruned), "devices": jax.device_count()}
files.write_json(workdir + "/found.json", found)
"""


def _start(devices, workdir, *joined):
  flag = f"--xla_force_host_platform_device_count={devices}"
  start = workdir.parent / "theirs"
  return subprocess.Popen(
    [sys.executable, "-c", _SCRIPT, workdir, start, *joined],
    # Without optimisation, sums of one device and of four differ more.
    env={
      **os.environ,
      "XLA_FLAGS": flag,
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
    },
  )


def _study(workdir, task):
  return workdir / "distil" if task == "distil" else workdir


def _losses(workdir, task):
  path = _study(workdir, task) / f"seed_0/{task}/round_00/metrics.jsonl"
  lines = [json.loads(x) for x in path.read_text().splitlines()]
  return [line["loss"] for line in lines if "loss" in line]


def _masks(workdir, task):
  study = _study(workdir, task)
  ticket = tickets.load(study / f"seed_0/{task}/round_01/ticket.npz")
  return {k: v["conv"]["kernel"] for k, v in ticket.masks["trunk"].items()}


def _values(workdir):
  lines = (workdir / "results.jsonl").read_text().splitlines()
  return [json.loads(line)["value"] for line in lines]


# One test: each worker of a divided run would make the studies again.
@pytest.mark.slow
def test_one_device_four_and_two_processes_of_two_agree(tmp_path):
  save_drawn(tmp_path / "theirs")
  for devices in (1, 4):
    assert _start(devices, tmp_path / str(devices)).wait() == 0
  with socket.create_server(("localhost", 0)) as free:
    address = f"localhost:{free.getsockname()[1]}"
  both = [
    _start(2, tmp_path / workdir, address, str(i))
    for i, workdir in enumerate(("2x2", "not_seen"))
  ]
  assert [process.wait() for process in both] == [0, 0]
  assert not (tmp_path / "not_seen").exists(), "the first alone writes"
  one, four, two = (tmp_path / run for run in ("1", "4", "2x2"))
  found = [(run / "found.json").read_text() for run in (one, four, two)]
  devices = [json.loads(text)["devices"] for text in found]
  assert devices == [1, 4, 4]
  assert len({json.dumps(json.loads(text)["digests"]) for text in found}) == 1

  for task in (*TASKS, "distil"):
    losses = _losses(four, task)
    assert len(losses) == 6
    np.testing.assert_allclose(_losses(one, task), losses, rtol=1e-3)
    np.testing.assert_allclose(_losses(two, task), losses, rtol=1e-5)
    for name, mask in _masks(four, task).items():
      # After training, weights agree to rounding, so the masks of the next
      # round agree but for weights at the threshold.
      assert np.mean(_masks(one, task)[name] != mask) < 2e-3, (task, name)
    chex.assert_trees_all_equal(_masks(two, task), _masks(four, task))
  # The same network is scored by the same batches: the same channels go.
  pruned = [
    tickets.load(run / "channels/seed_0/rotnet/round_01/ticket.npz").masks
    for run in (one, four, two)
  ]
  for other in pruned[1:]:
    chex.assert_trees_all_equal(pruned[0], other)
  for study in ("", "distil"):
    values = [_values(run / study) for run in (two, four)]
    np.testing.assert_allclose(*values, atol=2e-3)
