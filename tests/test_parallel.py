"""One device, four, two processes of two: the same losses and masks."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from sslprune_jax import tickets

TASKS = ("rotnet", "npid", "deepcluster", "exemplar")
_SCRIPT = """
import sys
from sslprune_jax import processes

workdir, *joined = sys.argv[1:]
if joined:
  processes.start(joined[0], int(joined[1]), 2)

from sslprune_jax import recipes, studies

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
  protocols=("linear:digits", "knn:digits", "svm:digits:0.1"), rounds=(1,)
)
config.transfer.linear.train.update(duration="2ep")
config.transfer.svm.costs = (1.0,)
config.log.every = "1it"
studies.run(config, workdir)

# The same weights are pruned to the same masks, however many devices hold them.
import jax
import numpy as np
from sslprune_jax import files, masks, models, parallel, pruning, state, trees

network = models.build("convnet", 4)
params = state.initialize(network, (8, 8, 1), jax.random.key(0))["params"]
dense = parallel.replicate(masks.dense(params))
pruned = pruning.prune(
  parallel.replicate(params), dense, 0.2, np.random.default_rng(0)
)
files.write_json(workdir + "/digests.json", trees.digests(pruned))
files.write_json(workdir + "/devices.json", jax.device_count())
"""


def _start(devices, workdir, *joined):
  flag = f"--xla_force_host_platform_device_count={devices}"
  return subprocess.Popen(
    [sys.executable, "-c", _SCRIPT, workdir, *joined],
    env={**os.environ, "XLA_FLAGS": flag},
  )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """The same study on one device, on four, and by two processes of two."""
  root = tmp_path_factory.mktemp("runs")
  for devices in (1, 4):
    assert _start(devices, root / str(devices)).wait() == 0
  with socket.create_server(("localhost", 0)) as free:
    address = f"localhost:{free.getsockname()[1]}"
  both = [
    _start(2, root / ("2x2" if i == "0" else "elsewhere"), address, i)
    for i in "01"
  ]
  assert [process.wait() for process in both] == [0, 0]
  for run, devices in (("1", 1), ("4", 4), ("2x2", 4)):
    assert json.loads((root / run / "devices.json").read_text()) == devices
  return root


def _losses(workdir, task):
  path = workdir / f"seed_0/{task}/round_00/metrics.jsonl"
  lines = [json.loads(x) for x in path.read_text().splitlines()]
  return [line["loss"] for line in lines if "loss" in line]


def _masks(workdir, task):
  ticket = tickets.load(workdir / f"seed_0/{task}/round_01/ticket.npz")
  return {k: v["conv"]["kernel"] for k, v in ticket.masks["trunk"].items()}


def _values(workdir):
  lines = (workdir / "results.jsonl").read_text().splitlines()
  return [json.loads(line)["value"] for line in lines]


@pytest.mark.parametrize("task", TASKS)
def test_four_devices_are_one(runs, task):
  one, four = runs / "1", runs / "4"
  assert len(_losses(one, task)) == 6
  np.testing.assert_allclose(_losses(one, task), _losses(four, task), rtol=1e-3)
  # After training, weights agree to rounding, so the masks of the next round
  # agree but for weights at the threshold.
  for a, b in zip(
    _masks(one, task).values(), _masks(four, task).values(), strict=True
  ):
    assert np.mean(a != b) < 2e-3


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_of_two_devices_are_one_of_four(runs, task):
  one, two = runs / "4", runs / "2x2"
  np.testing.assert_allclose(_losses(one, task), _losses(two, task), rtol=1e-5)
  for name, mask in _masks(one, task).items():
    np.testing.assert_array_equal(mask, _masks(two, task)[name])


def test_two_processes_judge_as_one_and_the_first_alone_writes(runs):
  np.testing.assert_allclose(
    _values(runs / "4"), _values(runs / "2x2"), atol=2e-3
  )
  assert not (runs / "elsewhere").exists()


def test_the_same_weights_are_pruned_alike_on_any_devices(runs):
  digests = {
    (runs / run / "digests.json").read_text() for run in ("1", "4", "2x2")
  }
  assert len(digests) == 1
