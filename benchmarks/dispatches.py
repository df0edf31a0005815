"""What several updates a dispatch would save, of the quickstart's trainings.

  python benchmarks/dispatches.py   # on the CPU, 5 minutes

Labels and its retraining are trained for some updates as `loop.train` does it,
and by a program of four updates, unrolled, with a barrier between them; by
turns. Printed are medians of the processor time of an update, that of the main
thread among it, and whether both end in the same bits.
"""

import collections
import json
import os
import pathlib
import runpy
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from sslprune_jax.data import batches
from sslprune_jax.runtime import devices, environment, trees
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study.study import Study
from sslprune_jax.training import step as step_lib

_QUICKSTART = pathlib.Path(__file__).parent.parent / "configs/quickstart.py"
_UPDATES, _TOGETHER, _TURNS = 120, 4, 5


def _several(step):
  """Returns a program of several updates; their batches lie along axis 1."""

  def several(state, batches):
    every = []
    for i in range(_TOGETHER):
      batch = {name: rows[i] for name, rows in batches.items()}
      state, metrics = step(state, batch)
      state, metrics = jax.lax.optimization_barrier((state, metrics))
      every.append(metrics)
    return state, jax.tree.map(lambda *values: jnp.stack(values), *every)

  return step_lib.pmap(several)


def _train(step, state, fed, together):
  """Returns the state, the losses, and milliseconds: all, the main thread's."""
  began = time.process_time(), time.thread_time()
  unread, losses = collections.deque(), []

  def read():
    found = jax.device_get(unread.popleft())
    for i in range(together):
      row = {name: float(np.ravel(v)[i]) for name, v in found.items()}
      losses.append(row["loss"])

  for batch in fed:
    state, metrics = step(state, batch)
    unread.append(metrics)
    if len(unread) > devices.updates_in_flight():
      read()
  while unread:
    read()
  jax.block_until_ready(state)
  took = time.process_time() - began[0], time.thread_time() - began[1]
  return state, losses, [1e3 * seconds / _UPDATES for seconds in took]


def _join(trainer, source):
  """Yields the batches of several updates, gathered at once."""
  size = trainer.batch_size
  take = batches._take(devices.split())
  data = batches._resident(source, devices.replicated_sharding())
  for first in range(0, _UPDATES, _TOGETHER):
    places = []
    for update in range(first, first + _TOGETHER):
      epoch, place = divmod(update, len(source) // size)
      order = trainer.task.order(0, epoch, source, {})
      places.append(order[place * size :][:size])
    index = jax.device_put(np.stack(places)[None], devices.split())
    yield {**take(data, index), "index": index}


def _compare(study, init):
  """Trains by turns; returns what was found."""
  stage = next(s for s in study.stages if (s.init or "") == init)
  trainer, images = study.trainers.trainer_for(stage), study.images(stage)
  variables, masks = study.draw(stage)
  several, found = _several(trainer.step_of_device), {}

  def train(together):
    state = trainer.new_state(variables, masks, images.train, 0)
    if together > 1:
      fed = _join(trainer, images.train)
      return _train(several, state, fed, together)
    fed = trainer.batches(state, images.train, 0, 0, _UPDATES)
    return _train(trainer.step, state, fed, together)

  for turn in range(_TURNS + 1):
    for together in (1, _TOGETHER):
      state, losses, took = train(together)
      if not turn:  # Compiled by then.
        found[together] = [], (trees.digests(state.params), losses)
      else:
        found[together][0].append(took)
  (one, of_one), (four, of_four) = found.values()
  ratios = [a[0] / b[0] for a, b in zip(four, one, strict=True)]
  return {
    "training": init or stage.task,
    "batch": trainer.batch_size,
    "one": np.median(one, axis=0).round(2).tolist(),
    "several": np.median(four, axis=0).round(2).tolist(),
    "ratio": round(statistics.median(ratios), 3),
    "same_bits": of_one == of_four,
    "load": round(os.getloadavg()[0], 1),
  }


def main():
  """Prints a line of JSON for each training."""
  environment.prepare()
  config = runpy.run_path(str(_QUICKSTART))["get_config"]()
  progress = Progress()
  with tempfile.TemporaryDirectory() as folder:
    study = Study(config, epath.Path(folder), (0,), {}, progress)
    for init in ("", "reinit"):
      print(json.dumps(_compare(study, init)), flush=True)


if __name__ == "__main__":
  main()
