"""The loop of one training: what it logs and saves, and when it stops."""

import contextlib
import functools
import json
import re
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from helpers import short

from sslprune_jax import data
from sslprune_jax.data import batches
from sslprune_jax.data.sources import Images
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import preemption
from sslprune_jax.runtime.errors import DivergedError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.tasks.labels import Labels
from sslprune_jax.training import loop, metrics
from sslprune_jax.training.checkpoints import Checkpoints
from sslprune_jax.training.trainer import Trainer

SHAPE = (8, 8, 1)
LABELS = Labels(
  num_outputs=10,
  augment=data.Augment(padding=1),
  normalise=functools.partial(data.normalise, mean=(0.5,), std=(0.5,)),
)


def _images():
  pixels = np.random.default_rng(0).integers(0, 256, (40, *SHAPE), np.uint8)
  source = data.ArraySource(pixels, np.arange(40, dtype=np.int32) % 10)
  return Images(source, source)


def _trainer(task=LABELS, **log):
  """Returns a trainer of 20 updates, four an epoch, that counts alone."""
  config = short()
  config.train.update(batch_size=10, duration="20it")
  config.log.update({"every": "1it", "checkpoint": "4it", **log})
  made = Trainer(config, "train", task, _images().train)

  def step(state, batch):
    return state.replace(step=state.step + 1), {"loss": jnp.ones(())}

  made.step = step
  return made


def _train(made, directory, start=0, **early):
  variables = made.draw(SHAPE, 0, "init")
  masks, images = masks_lib.dense(variables["params"]), _images()
  state = made.new_state(variables, masks, images.train, 0, start=start)
  progress = Progress()
  progress.start(0)
  with contextlib.closing(progress):
    return loop.train(
      made, state, images, epath.Path(directory), 0, progress, **early
    )


def _lines(directory):
  text = (directory / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def _saved(directory):
  return sorted(int(path.name) for path in directory.iterdir())


def test_divergence_names_the_update_and_saves_nothing_of_it(tmp_path):
  def step(state, batch):
    loss = jnp.where(state.step == 6, jnp.nan, 1.0)
    return state.replace(step=state.step + 1), {"loss": loss}

  made = _trainer()
  made.step = step
  words = "update 7: the loss is nan; last good checkpoint: .*/checkpoint/4"
  with pytest.raises(DivergedError, match=f"{tmp_path}: {words}"):
    _train(made, tmp_path)
  assert [x["update"] for x in _lines(tmp_path)] == [1, 2, 3, 4, 5, 6]
  assert _saved(tmp_path / "checkpoint") == [4]


@pytest.mark.parametrize("field", ["params", "batch_stats", "opt_state"])
def test_weights_that_are_not_finite_end_it_though_the_loss_is(field, tmp_path):
  def step(state, batch):
    update = state.step + 1
    spoilt = jax.tree.map(
      lambda leaf: leaf + jnp.nan if leaf.ndim else leaf, getattr(state, field)
    )
    if update >= 6:  # Seen at update 8, which would be saved.
      state = state.replace(**{field: spoilt})
    return state.replace(step=update), {"loss": 1.0}

  made = _trainer(every="50it")
  made.step = step
  words = f"update 8: {field}/.* is not finite; last good checkpoint: .*/4$"
  with pytest.raises(DivergedError, match=f"{tmp_path}: {words}"):
    _train(made, tmp_path)
  assert _saved(tmp_path / "checkpoint") == [4]


@pytest.mark.parametrize("k", [0, 7, 8, 19])
def test_w_k_is_saved_at_its_update(k, tmp_path):
  early = Checkpoints(tmp_path / "rewind", keep=None)
  state = _train(_trainer(), tmp_path, early=early, rewinds=(k,))
  early.close()
  assert state.step == 20
  assert _saved(tmp_path / "rewind") == [k]
  assert _saved(tmp_path / "checkpoint") == [12, 16]  # The end needs none.


def test_it_stops_when_it_is_told_to_and_goes_on_from_there(
  tmp_path, monkeypatch
):
  asked = []

  def is_due():
    asked.append(len(asked) + 1)
    return len(asked) == 7

  monkeypatch.setattr(preemption, "is_due", is_due)
  with pytest.raises(preemption.Preempted):
    _train(_trainer(), tmp_path)
  assert _saved(tmp_path / "checkpoint") == [4, 7]
  assert _train(_trainer(), tmp_path).step == 20
  # Once an update, but for the last one.
  assert len(asked) == 19
  assert [x["update"] for x in _lines(tmp_path)] == list(range(1, 21))


def test_evaluations_stand_between_the_updates(tmp_path):
  made = _trainer(every="5it", evaluate="6it")
  _train(made, tmp_path, start=2)
  lines = _lines(tmp_path)
  events = [x["update"] for x in lines if x.get("event") == "evaluation"]
  assert events == [6, 12, 18]
  assert [x["update"] for x in lines] == [5, 6, 10, 12, 15, 18, 20]
  assert all(x["epoch"] == x["update"] / 4 for x in lines)
  assert {"loss", "accuracy"} <= lines[1].keys()


def test_metrics_are_means_and_what_is_left_is_written_at_the_end(tmp_path):
  def step(state, batch):
    loss = 1.0 * state.step
    return state.replace(step=state.step + 1), {"loss": loss}

  made = _trainer(every="6it")
  made.step = step
  _train(made, tmp_path)
  found = [(x["update"], x["loss"]) for x in _lines(tmp_path)]
  assert found == [(6, 2.5), (12, 8.5), (18, 14.5), (20, 18.5)]


def test_threads_that_read_ahead_end_with_a_loop_that_fails(
  tmp_path, monkeypatch
):
  def threads():
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("batches")]

  def step(state, batch):
    assert threads()
    raise ArithmeticError

  monkeypatch.setattr(batches, "make", data.StreamedBatches)
  made = _trainer()
  made.step = step
  with pytest.raises(ArithmeticError):
    _train(made, tmp_path)
  assert not threads()


def test_metrics_that_stay_are_there_before_a_line_follows(tmp_path):
  path = epath.Path(tmp_path / "metrics.jsonl")
  lines = b'{"update": 5}\n{"update": 10}\n'
  path.write_bytes(lines + b'{"update": 15}\n')
  found = metrics.MetricLines(path, every=5, updates_per_epoch=4, start=10)
  assert path.read_bytes() == lines  # A kill now loses none.
  found.event(12, "evaluation", {})
  assert path.read_bytes().startswith(lines + b'{"update": 12')
  found.close()


@pytest.mark.parametrize(
  "line, words",
  [
    (b"\xff", "damaged: no JSON"),
    (b"[1]", "damaged: found .1., expected an object"),
    (b"3", "damaged: found 3, expected an object"),
    (b'{"update": "x"}', "damaged: update: found 'x', expected a whole"),
    (b"{}", "damaged: update: found None, expected a whole"),
    (b"[" * 9000 + b"]" * 9000, "damaged: nested too deep"),
  ],
)
def test_metrics_go_on_before_a_line_that_is_damaged(
  line, words, tmp_path, caplog
):
  path = epath.Path(tmp_path / "metrics.jsonl")
  first, last = b'{"update": 5}\n', b'{"update": 10}\n'
  for ending, is_said in ((b"\n" + last, True), (b"\n", True), (b"", False)):
    path.write_bytes(first + line + ending)
    caplog.clear()
    metrics.MetricLines(path, every=5, updates_per_epoch=4, start=10).close()
    assert path.read_bytes() == first
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == is_said  # Without its end it was killed in it.
    assert not found or re.match(f"{path}, line 2: {words}", found[0])
