"""What tests of studies share: their bits, and how they are killed."""

import os
import pathlib
import zlib

import chex
import jax
import numpy as np

from sslprune_jax import config as config_lib
from sslprune_jax import models
from sslprune_jax.config import recipes
from sslprune_jax.pruning import masks, tickets
from sslprune_jax.training import loop
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step as step_lib

# How often the slow tests repeat what must never fail; .ci/run does a fifth.
TIMES = int(os.environ.get("SSLPRUNE_JAX_TIMES", 100))


# The same from the command line, on one seed, but for its lengths.
NARROW = (
  "--config.seeds=(0,)",
  "--config.model.width=0.25",
  "--config.rotnet.copies=1",
  "--config.prune.rounds=1",
  "--config.prune.rewind=3it",
  "--config.train.batch_size=64",
  "--config.log.every=1it",
)


def short():
  """Returns a study of a narrow RotNet on digits: seconds, two rounds."""
  config = recipes.study("rotnet", "digits")
  config.seeds = (0,)
  config.model.width = 0.25
  config.views.crop_scale = ()
  config.prune.update(rounds=2, rewind="3it")
  config.train.update(duration="12it", batch_size=64)
  config.retrain.rounds = ()
  config.log.update(checkpoint="5it", every="4it")
  return config


def without_updates(monkeypatch, begin=lambda *_: None):
  """Makes studies run whose trainings make no update: nothing is compiled.

  Args:
    monkeypatch: of the test.
    begin: function of a training's trainer, state, images, folder, seed, and
      whether it is a dense one.
  """

  def train(
    trainer, state, images, directory, seed, *_, early=None, rewinds=()
  ):
    begin(trainer, state, images, directory, seed, bool(rewinds))
    # As if it had learnt, so that masks differ where networks or k do.
    words = zlib.crc32(jax.device_get(state.params)["head"]["kernel"].tobytes())

    def learn(updates):
      draw = np.random.default_rng([words, updates]).uniform
      return state.replace(
        params=jax.tree.map(
          lambda w: w * draw(0.5, 2, w.shape).astype(w.dtype),
          state.params,
        )
      )

    for k in sorted(rewinds):
      early.save_durably(k, learn(k))
    return learn(trainer.length)

  monkeypatch.setattr(loop, "train", train)
  scores = {"loss": 1.0, "accuracy": 0.5}
  monkeypatch.setattr(loop, "evaluate", lambda *_: scores)


def bits(workdir):
  """Returns every file of results and tickets, as bytes."""
  root = pathlib.Path(workdir)
  return {
    str(path.relative_to(root)): path.read_bytes()
    for pattern in (
      "**/*.npz", "**/result.json", "results.jsonl", "**/labelled_*.json"
    )
    for path in sorted(root.glob(pattern))
  }  # fmt: skip


def die_after(updates, monkeypatch):
  """Makes the study that runs next stop after some updates."""
  real, left = step_lib.pmap, updates

  def pmap(step):
    step = real(step)

    def dying(state, batch):
      nonlocal left
      if left == 0:
        raise KeyboardInterrupt
      left -= 1
      return step(state, batch)

    return dying

  monkeypatch.setattr(step_lib, "pmap", pmap)


def traced_once(monkeypatch):
  """Lets the step of each task be traced once.

  Returns:
    A list that grows by the task's name with each trace of a step.
  """
  traces = []
  real = step_lib.make_step
  chex.clear_trace_counter()

  def make_step(network, task, *args):
    step = real(network, task, *args)

    def counted(state, batch):
      traces.append(type(task).__name__)
      return step(state, batch)

    # chex counts by the name, and says it.
    counted.__name__ = f"step of {type(task).__name__}"
    return chex.assert_max_traces(counted, n=1)

  monkeypatch.setattr(step_lib, "make_step", make_step)
  return traces


def save_drawn(path, seed=0):
  """Saves a narrow network for digits that nobody trained, as a ticket."""
  config = short()
  network = models.from_config(config.model, 4)
  drawn = state_lib.initialize(network, (8, 8, 1), jax.random.key(seed))
  ticket = tickets.Ticket(
    masks.dense(drawn["params"]),
    meta={"image_shape": [8, 8, 1], "config": config_lib.resolve(config)},
    **jax.device_get(drawn),
  )
  tickets.save(path, ticket)
