"""What a study of ImageNet's size takes to its first batch: time, and memory.

  python benchmarks/imagenet_start.py

For every task, in a process of its own: its recipe for `imagenet2012` with
1,281,167 made-up images, whose pixels cost nothing, from the start of the
process to the first batch of its first update (of DeepCluster, to the first
batch of features that it clusters). Says the seconds, wall and processor, and
how much the process grew from what it takes before it knows of images, in
multiples of the state that is trained.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from unittest import mock

import jax
import numpy as np
from etils import epath

from sslprune_jax.config import recipes
from sslprune_jax.features import extraction
from sslprune_jax.runtime import environment
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import images as images_lib
from sslprune_jax.study.study import Study

_TASKS = ("labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster")
_IMAGES = {"train": 1_281_167, "test": 50_000}


class _MadeUp:
  """A source of as many images as ImageNet has."""

  num_classes, crops, multi_label = 1000, True, False
  class_names = tuple(map(str, range(1000)))

  def __init__(self, spec, split):
    self.name, self.split, self._count = spec.name, spec.split, _IMAGES[split]
    self.image_shape = (spec.image_size, spec.image_size, 3)
    rng = np.random.default_rng(0)
    self.labels = rng.integers(1000, size=self._count, dtype=np.int32)

  def __len__(self):
    return self._count

  def read(self, indices, seeds=None):
    image = np.zeros((len(indices), *self.image_shape), np.uint8)
    return {"image": image, "label": self.labels[indices]}


class _Reached(Exception):
  """The first batch of features is asked for."""


def main():
  """Prints a line of JSON for every task."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--task", choices=_TASKS, help=argparse.SUPPRESS)
  parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
  arguments = parser.parse_args()
  if arguments.task:
    print(json.dumps(start(arguments.task, arguments.began)))
    return
  for task in _TASKS:
    command = [sys.executable, __file__, f"--task={task}"]
    command.append(f"--began={time.time()}")
    done = subprocess.run(command, capture_output=True, text=True)
    sys.exit(done.stderr) if done.returncode else print(done.stdout, end="")


def start(task, began):
  """Goes from the start of a process to the first batch of a task.

  Args:
    task: name of a task.
    began: time at which the process was started, seconds since 1970.

  Returns:
    What was found, by name.
  """
  environment.prepare()
  config = recipes.study(task, "imagenet2012")
  before = _peak()

  def load(spec):
    return _MadeUp(spec, "train" if spec.split.startswith("train") else "test")

  with (
    tempfile.TemporaryDirectory() as folder,
    mock.patch.object(images_lib.data, "load", load),
  ):
    study = Study(config, epath.Path(folder), config.seeds[:1], {}, Progress())
    stage = study.stages[0]
    trainer, train = (
      study.trainers.trainer_for(stage),
      study.images(stage).train,
    )
    variables, masks = study.draw(stage)
    task_state = trainer.init_task(train, stage.seed)
    state = study.place(stage, variables, masks, task_state)
    _reach_first_batch(trainer, state, train, stage.seed)
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(state.replace(rng=())))
  return {
    "task": task,
    "seconds": round(time.time() - began, 1),
    "processor_seconds": round(sum(os.times()[:2]), 1),
    "state_mb": round(size / 1e6),
    "grown_over_state": round((_peak() - before) / size, 2),
  }


def _reach_first_batch(trainer, state, train, seed):
  if trainer.calendar.prepares_epochs:

    def reach(*arguments, **more):
      raise _Reached

    with mock.patch.object(extraction, "extract", reach):
      try:
        trainer.begin_epoch(state, train, seed)
      except _Reached:
        return
  batches = trainer.batches(state, train, seed, 0, 1)
  jax.block_until_ready(next(iter(batches)))


def _peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
  sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
  main()
