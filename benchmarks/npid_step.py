"""What NPID's memory bank costs, beside the same network with RotNet's loss.

  python benchmarks/npid_step.py               # on the CPU, 2 minutes
  pip install -e '.[tpu]'
  python benchmarks/npid_step.py --tpu         # by compiling only, 10 minutes

One rotation an image, 16,384 negatives an update. On the CPU: the median of
ratios of updates taken side by side. For a TPU, none is needed: the summed
estimated cycles of what the compiler made for v5e:2x4, ResNet-50, 128 images a
chip, a bank of ImageNet's 1,281,167 rows.
"""

import argparse
import functools
import json
import os
import time

import jax
import numpy as np

from sslprune_jax import config as config_lib
from sslprune_jax import data, models, preflight
from sslprune_jax.config import recipes
from sslprune_jax.pruning import masks
from sslprune_jax.runtime import devices, environment
from sslprune_jax.tasks import npid as npid_lib
from sslprune_jax.tasks import rotnet as rotnet_lib
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step as step_lib

_NEGATIVES = 16_384


def _tasks(channels):
  views = {
    "augment": data.Augment(padding=2, flip=True),
    "normalise": functools.partial(
      data.normalise, mean=(0.5,) * channels, std=(0.25,) * channels
    ),
  }
  npid = npid_lib.NPID(num_outputs=128, negatives=_NEGATIVES, **views)
  rotnet = rotnet_lib.RotNet(num_outputs=4, copies=1, **views)
  return {"rotnet": rotnet, "npid": npid}


def on_cpu(repeats):
  """Prints the ratio of NPID's update to RotNet's for two networks."""
  environment.prepare()
  for name, side, channels, images in (
    ("convnet", 28, 1, 60_000),
    ("resnet18", 32, 3, 50_000),
  ):
    rng = np.random.default_rng(0)
    source = data.ArraySource(
      rng.integers(0, 256, (images, side, side, channels), np.uint8),
      np.zeros(images, np.int32),
    )
    batch = next(
      data.ResidentBatches(source, 128, devices.split()).train(
        lambda epoch, images=images: np.arange(images), 0, 1
      )
    )
    steps = {}
    for of, task in _tasks(channels).items():
      network = models.build(name, task.num_outputs)
      variables = state_lib.initialize(
        network, (side, side, channels), jax.random.key(0)
      )
      optimizer = optimizer_lib.optimizer("sgd", weight_decay=1e-4)
      state = state_lib.create(
        variables,
        masks.dense(variables["params"]),
        optimizer,
        jax.random.key(1),
        task_state=task.init(jax.random.key(2), source),
      )
      rate = optimizer_lib.schedule("constant", 0.01, length=1)
      step = step_lib.pmap(step_lib.make_step(network, task, optimizer, rate))
      steps[of] = [step, step(state, batch)[0]]
    seconds = {of: [] for of in steps}
    for _ in range(repeats):
      for of, made in steps.items():
        began = time.perf_counter()
        made[1] = jax.block_until_ready(made[0](made[1], batch)[0])
        seconds[of].append(time.perf_counter() - began)
    ratio = np.median(np.divide(seconds["npid"], seconds["rotnet"]))
    print(
      json.dumps(
        {
          "network": name,
          "images": [side, side, channels],
          "batch": 128,
          "bank": images,
          "npid_over_rotnet": round(float(ratio), 3),
          "share_of_the_bank": round(float(1 - 1 / ratio), 3),
          "load": os.getloadavg()[0],
        }
      ),
      flush=True,
    )


def for_tpu(name, per_chip):
  """Prints the compiler's estimates for both, and their memory."""
  cycles = {}
  for of in ("rotnet", "npid"):
    config = recipes.study(of, "imagenet2012")
    config.model.name = name
    config.rotnet.copies = 1
    config.npid.negatives = _NEGATIVES
    config.dataset.update(config_lib.dataset("imagenet2012"))
    config.train.batch_size = 8 * per_chip
    found = preflight.estimate_cost(config, "v5e:2x4")
    cycles[of] = found["cycles"]
    print(json.dumps(found), flush=True)
  share = 1 - cycles["rotnet"] / cycles["npid"]
  print(json.dumps({"share_of_the_bank": round(share, 4)}))


def main():
  """Runs one of the two."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--tpu", action="store_true", help="compile for a TPU")
  parser.add_argument("--network", default="resnet50", help="with --tpu")
  parser.add_argument("--per_chip", type=int, default=128, help="with --tpu")
  parser.add_argument("--repeats", type=int, default=15)
  arguments = parser.parse_args()
  if arguments.tpu:
    jax.config.update("jax_platforms", "cpu")
    for_tpu(arguments.network, arguments.per_chip)
  else:
    on_cpu(arguments.repeats)


if __name__ == "__main__":
  main()
