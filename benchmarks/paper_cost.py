"""What would the paper's figures cost on TPU v5e?

  python benchmarks/paper_cost.py

Counts the images that every figure trains on by its plan, and divides by the
images that a chip takes in a second: 1,790 for ResNet-50 at a batch of 128 a
chip in bf16, which is what the TPU compiler's own estimate of the step's cycles
at 1.5 GHz allows (no step was timed), and for other networks as many more as
they have fewer multiply-adds. A forward pass counts as a third. Nothing here
was run on a TPU.
"""

import functools
import json
import pathlib
import runpy

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import models
from sslprune_jax.config import figures, variants
from sslprune_jax.runtime.trees import named_leaves
from sslprune_jax.study.plan import plan
from sslprune_jax.workdir import CONTROLS, Stage, TransferStage

CONFIGS = pathlib.Path(__file__).parent.parent / "configs/paper"
_IMAGES_A_SECOND = 1790  # of ResNet-50, a chip
_IMAGES = {
  "imagenet2012": 1_281_167,
  "cifar10": 50_000,
  "places205": 2_448_873,
  "voc2007": 5_011,
}


def main():
  """Prints a line of JSON for every figure and set of the paper."""
  for path in sorted(CONFIGS.glob("*.py")):
    get_config = runpy.run_path(str(path))["get_config"]
    for dataset in figures.PAPER:
      found = variants.expand(get_config(dataset)).values()
      hours = sum(_chip_hours(config) for config in found)
      line = {"figure": path.stem, "dataset": dataset}
      print(json.dumps({**line, "v5e_chip_hours": float(f"{hours:.2g}")}))


def _chip_hours(config: ConfigDict) -> float:
  images = sum(
    _of_transfer(config, stage)
    if isinstance(stage, TransferStage)
    else _of_stage(config, stage)
    for stage in plan(config)
  )
  size = 32 if config.dataset.name == "cifar10" else 224
  model = config.model.name, config.model.stem
  slower = _multiply_adds(*model, size) / _multiply_adds("resnet50")
  return images * slower / _IMAGES_A_SECOND / 3600


# What the network sees for each image of a batch.
_ROWS = {
  "rotnet": lambda config: config.rotnet.copies,
  "exemplar": lambda config: config.exemplar.views,
  "s4l": lambda config: 8,
}


@functools.cache
def _multiply_adds(name: str, stem: str = "", size: int = 224) -> int:
  """Counts those of a forward pass, without the head."""
  network = models.build(name, 1, stem=stem)
  shape = (size, size, 3)
  params = jax.eval_shape(
    lambda: network.init(jax.random.key(0), jnp.zeros((1, *shape)), train=False)
  )["params"]
  leaves = named_leaves(params)
  uses = models.uses(network, shape)
  return sum(count * leaves[name].size for name, count in uses.items())


def _of_stage(config: ConfigDict, stage: Stage) -> float:
  """Counts the images that the network sees in a training."""
  if stage.round == 0 and stage.init in CONTROLS:
    return 0  # Re-init's.
  section = "retrain.train" if stage.init else "train"
  task = "labels" if stage.init else stage.task
  images = _IMAGES[config.dataset.name]
  if task == "labels" and not stage.init:
    images = int(images * config.labels.images * config.labels.classes)
  of_training = {
    "batch_size": config_lib.lookup(config, section).batch_size,
    "num_images": images,
    "samples": _ROWS[task](config) if task in ("rotnet", "s4l") else 1,
  }
  length = config_lib.updates(config, f"{section}.duration", **of_training)
  if stage.round and not stage.init:
    length -= config_lib.updates(config, "prune.rewind", **of_training)
  rows = _ROWS[task](config) if task in _ROWS else 1
  return length * of_training["batch_size"] * rows


def _of_transfer(config: ConfigDict, stage: TransferStage) -> float:
  """Counts a transfer's images, those that are not trained on as a third."""
  images = _IMAGES[stage.target] * stage.fraction
  if stage.protocol in ("finetune", "prune"):
    return 90 * images
  if stage.protocol == "linear" and config.transfer.linear.augment:
    batch_size = config.transfer.linear.train.batch_size
    images = batch_size * config_lib.updates(
      config,
      "transfer.linear.train.duration",
      batch_size=batch_size,
      num_images=int(images),
    )
  return images / 3


if __name__ == "__main__":
  main()
