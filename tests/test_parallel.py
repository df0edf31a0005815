"""Four forced CPU devices against one: the same losses, the same masks."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from sslprune_jax import tickets

_SCRIPT = """
import sys
import jax
from sslprune_jax import recipes, studies

assert jax.device_count() == int(sys.argv[1])
config = recipes.study("rotnet", "digits")
config.model.batch_norm = "global"
config.tasks = ("rotnet", "npid", "deepcluster", "exemplar")
config.npid.update(objective="nce", negatives=300)
config.deepcluster.update(clusters=10, components=16)
config.seeds = (0,)
config.prune.update(rounds=1, rewind="2it")
config.train.update(duration="6it", batch_size=64, optimizer="sgd",
                    learning_rate=0.01)
config.retrain.rounds = ()
config.log.every = "1it"
studies.run(config, sys.argv[2])

# The same weights are pruned to the same masks, however many devices hold them.
import numpy as np
from sslprune_jax import masks, models, parallel, pruning, state, trees

network = models.build("convnet", 4)
params = state.initialize(network, (8, 8, 1), jax.random.key(0))["params"]
dense = parallel.replicate(masks.dense(params))
pruned = pruning.prune(
  parallel.replicate(params), dense, 0.2, np.random.default_rng(0)
)
with open(sys.argv[2] + "/digests.txt", "w") as file:
  file.write(str(trees.digests(pruned)))
"""


def _study(devices: int, workdir: pathlib.Path) -> None:
  environment = {
    **os.environ,
    "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
  }
  subprocess.run(
    [sys.executable, "-c", _SCRIPT, str(devices), str(workdir)],
    env=environment,
    check=True,
  )


def _losses(workdir: pathlib.Path, task: str) -> list[float]:
  path = workdir / f"seed_0/{task}/round_00/metrics.jsonl"
  lines = [json.loads(x) for x in path.read_text().splitlines()]
  return [line["loss"] for line in lines if "loss" in line]


def test_four_devices_are_one(tmp_path):
  for devices in (1, 4):
    _study(devices, tmp_path / str(devices))
  one, four = tmp_path / "1", tmp_path / "4"
  for task in ("rotnet", "npid", "deepcluster", "exemplar"):
    dense = _losses(one, task), _losses(four, task)
    assert len(dense[0]) == 6
    np.testing.assert_allclose(*dense, rtol=1e-3, err_msg=task)
  masks = [
    tickets.load(run / "seed_0/rotnet/round_01/ticket.npz").masks["trunk"]
    for run in (one, four)
  ]
  digests = [(run / "digests.txt").read_text() for run in (one, four)]
  assert digests[0] == digests[1]
  # After training, weights agree to rounding, so the masks of the next round
  # agree but for weights at the threshold.
  for stage in masks[0]:
    a, b = (m[stage]["conv"]["kernel"] for m in masks)
    assert np.mean(a != b) < 2e-3
