"""Which head and which update retraining starts from."""

import numpy as np
import pytest
from helpers import short

from sslprune_jax import data
from sslprune_jax.config import recipes
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import run
from sslprune_jax.study.images import StudyData
from sslprune_jax.study.trainers import Trainers
from sslprune_jax.training import trainer


def _config(**retrain):
  config = short()
  config.tasks = ("labels", "rotnet")
  config.prune.rounds = 1
  config.retrain.update(rounds=(1,), inits=("rewind", "reinit"))
  config.retrain.train.update(duration="6it", batch_size=64)
  config.retrain.update(retrain)
  return config


def _started(config, workdir, monkeypatch):
  """Runs a study; returns the head and update that each training began with."""
  begun = []
  real = trainer.Trainer.new_state

  def new_state(self, variables, *args, start=0, **kwargs):
    begun.append((np.asarray(variables["params"]["head"]["kernel"]), start))
    return real(self, variables, *args, start=start, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(trainer.Trainer, "new_state", new_state)
    run.run(config, workdir)
  names = [
    (task, stage)
    for task in config.tasks
    for stage in ("dense", "pruned", *config.retrain.inits)
  ]
  return dict(zip(names, begun, strict=True))


def test_a_label_ticket_may_keep_its_head_and_go_on_from_k(
  tmp_path, monkeypatch
):
  found = _started(
    _config(head="own", schedule="continue"), tmp_path, monkeypatch
  )
  path = tmp_path / "seed_0/labels/round_01/ticket.npz"
  own = tickets.load(path).params["head"]["kernel"]
  head, start = found["labels", "rewind"]
  np.testing.assert_array_equal(head, own)
  assert start == 3  # k, as short() has it.
  # The same new head for all others, from the start of the schedule.
  others = [found["labels", "reinit"], found["rotnet", "rewind"]]
  for head, start in (*others, found["rotnet", "reinit"]):
    np.testing.assert_array_equal(head, others[0][0])
    assert start == 0 and not np.array_equal(head, own)
  lines = (tmp_path / "results.jsonl").read_text()
  assert '"updates": 3,' in lines.replace('"updates":3,', '"updates": 3,')


def test_other_classes_are_not_gone_on_with(tmp_path, monkeypatch):
  config = _config(head="own", schedule="continue")
  config.labels.classes = 0.5
  config.train.batch_size = 32
  found = _started(config, tmp_path, monkeypatch)
  head, start = found["labels", "rewind"]
  np.testing.assert_array_equal(head, found["rotnet", "rewind"][0])
  assert start == 0


def test_a_seed_trains_as_long_whichever_stands_first():
  config = _config()
  config.tasks, config.train.batch_size = ("labels",), 16
  config.train.duration, config.prune.rewind = "2ep", "1ep"
  config.labels.classes = 0.3
  sizes, lengths = set(), set()
  for seed in range(6):
    config.seeds = (seed, 9)
    images = StudyData(config)
    made = Trainers(config, images, {})
    sizes.add(len(images.images("labels", seed).train))
    lengths.add((made.pretext["labels"].length, made.rewind["labels"]))
  assert len(sizes) > 2 and lengths == {(2 * 26, 26)}


def test_a_single_class_is_refused(tmp_path):
  config = _config()
  config.labels.classes = 0.1
  expected = "labels.classes: found 0.1 of 10 classes, which is one, expected"
  with pytest.raises(data.DataError, match=expected):
    run.run(config, tmp_path)


def test_by_default_every_ticket_has_a_new_head(tmp_path, monkeypatch):
  found = _started(_config(), tmp_path, monkeypatch)
  heads = [
    found[task, init] for task in ("labels", "rotnet") for init in ("rewind",)
  ]
  np.testing.assert_array_equal(heads[0][0], heads[1][0])
  assert [start for _, start in heads] == [0, 0]


def test_a_retraining_that_would_be_over_is_refused(tmp_path):
  config = _config(schedule="continue")
  config.retrain.train.duration = "2it"
  with pytest.raises(
    ConfigError, match="rewind: .*update 3 of retraining, exp"
  ):
    run.run(config, tmp_path)


def test_masks_of_every_task_are_retrained_on_the_same_views():
  """What Exemplar adds to an image is for finding masks alone."""
  config = recipes.study("exemplar", "digits")
  config.views.crop_scale = (0.3, 1.0)
  made = Trainers(config, StudyData(config), {})
  plain = data.Augment(padding=1)
  assert made.retraining.task.augment == plain
  assert made.pretext["exemplar"].task.augment == data.Augment(
    crop_scale=(0.3, 1.0), rotation=10.0, jitter=(0.4, 0.4, 0.0, 0.0)
  )
  labels = recipes.study("labels", "digits")
  made = Trainers(labels, StudyData(labels), {})
  assert made.pretext["labels"].task.augment == plain
