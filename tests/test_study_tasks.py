"""Every task in a study: what it carries along is saved, resumed, rewound."""

import dataclasses
import json

import numpy as np
import pytest
from helpers import bits, die_after
from PIL import Image

from sslprune_jax import data, tasks
from sslprune_jax.config import recipes
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import images as images_lib
from sslprune_jax.study import run as run_lib
from sslprune_jax.training import checkpoints, trainer


def _config(task, **labels):
  config = recipes.study(task, "digits")
  config.seeds = (0,)
  config.model.width = 0.25
  # An epoch is 22 updates: rewound in the middle of the second one, a round
  # goes on into the third.
  config.prune.update(rounds=1, rewind="25it")
  config.train.update(duration="50it", batch_size=64)
  config.retrain.rounds = (1,)
  config.retrain.inits = ("rewind",)
  config.retrain.fraction = 0.1
  config.retrain.train.update(duration="3it", batch_size=32)
  config.npid.update(objective="nce", negatives=300)
  config.deepcluster.update(clusters=12, components=16)
  config.labels.update(labels)
  # At updates 22 and 44 an epoch ends: the next one begins when resumed.
  config.log.update(checkpoint="11it", every="4it")
  return config


def _events(workdir, stage):
  text = (workdir / stage / "metrics.jsonl").read_text()
  lines = [json.loads(line) for line in text.splitlines()]
  return [line for line in lines if "event" in line]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["npid", "deepcluster"])
def test_resumed_is_uninterrupted(task, tmp_path, monkeypatch):
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  run_lib.run(_config(task), whole)
  # In the second epoch (resumed at 22), in the third (at 44), and in round 1
  # (at 44).
  for updates in (30, 47 - 22, 6 + 22):
    with monkeypatch.context() as patch:
      die_after(updates, patch)
      with pytest.raises(KeyboardInterrupt):
        run_lib.run(_config(task), killed)
  run_lib.run(_config(task), killed)
  assert bits(killed) == bits(whole)
  for stage in ("round_00", "round_01"):
    stage = f"seed_0/{task}/{stage}"
    assert _events(killed, stage) == _events(whole, stage)


def test_what_a_task_carries_is_rewound_with_w_k(tmp_path, monkeypatch):
  states = []
  real = trainer.Trainer.new_state

  def begun(self, *args, task_state=None, **kwargs):
    states.append(task_state)
    return real(self, *args, task_state=task_state, **kwargs)

  monkeypatch.setattr(trainer.Trainer, "new_state", begun)
  run_lib.run(_config("npid"), tmp_path)
  dense, rewound, retrained = states
  assert dense.shared["normaliser"] == 0 and retrained is None
  early, late = dense.by_sample["bank"], rewound.by_sample["bank"]
  moved = (np.asarray(early) != np.asarray(late)).any(axis=-1)
  assert moved.mean() > 0.9  # An epoch leaves its remainder out.
  saved = checkpoints.Checkpoints(tmp_path / "seed_0/npid/round_00/rewind")
  _, expected = saved.rewind(
    25,
    {
      key: getattr(tickets.load(saved.directory.parent / "ticket.npz"), key)
      for key in ("params", "batch_stats")
    },
    rewound,
  )
  np.testing.assert_array_equal(
    rewound.by_sample["bank"], expected.by_sample["bank"]
  )
  assert rewound.shared["normaliser"] == expected.shared["normaliser"] > 0
  norms = np.linalg.norm(rewound.by_sample["bank"], axis=-1)
  np.testing.assert_allclose(norms, 1, atol=1e-5)


def test_a_rewound_epoch_goes_on_with_its_clusters(tmp_path):
  run_lib.run(_config("deepcluster"), tmp_path)
  for name, updates in {"round_00": [0, 22, 44], "round_01": [44]}.items():
    events = _events(tmp_path, f"seed_0/deepcluster/{name}")
    assert [event["update"] for event in events] == updates
    assert all(0 < event["nmi_labels"] < 1 for event in events)
  lines = (tmp_path / "results.jsonl").read_text().splitlines()
  splits = {(r["stage"], r["split"]) for r in map(json.loads, lines)}
  assert splits == {("pretext", "train"), ("retrain", "test")}


@pytest.mark.parametrize("task", ["exemplar", "s4l"])
def test_a_study_runs_to_its_end(task, tmp_path):
  config = _config(task, images=0.2)
  config.log.evaluate = "1ep"
  results = run_lib.run(config, tmp_path)
  assert {r["metric"] for r in results} == {"accuracy", "loss"}
  events = _events(tmp_path, f"seed_0/{task}/round_00")
  assert [event["update"] for event in events] == [22, 44]


@pytest.mark.parametrize(
  ("task", "chance"),
  [
    ("labels", 1 / 10),
    ("rotnet", 1 / 4),
    ("s4l", 1 / 10),
    ("npid", 1 / 10),
    ("deepcluster", 1 / 12),
    ("exemplar", 0),
  ],
)
def test_a_task_knows_what_guessing_would_reach(task, chance):
  config = _config(task)
  source = data.load(data.Spec.from_config(config.dataset, "train"))
  made = tasks.make(config, task, source)
  assert made.chance == chance
  if task == "npid":  # Asked which of all images it is.
    assert dataclasses.replace(made, num_classes=0).chance == 0


def test_the_list_of_labelled_images_is_saved_and_hashed(tmp_path):
  config = _config("labels", images=0.2, classes=0.3)
  results = run_lib.run(config, tmp_path)
  # Of three classes, those that it is tested on; retraining has all.
  chance = {r["stage"]: r["chance"] for r in results if "chance" in r}
  assert chance == {"pretext": pytest.approx(1 / 3), "retrain": 0.1}
  listed = json.loads((tmp_path / "seed_0/labelled_labels.json").read_text())
  ticket = tickets.load(tmp_path / "seed_0/labels/round_01/ticket.npz")
  assert ticket.meta["labelled"] == listed["sha256"]
  spec = data.Spec.from_config(config.dataset, "train")
  labels = data.load(spec).labels[listed["images"]]
  assert len(set(labels)) == 3
  pretext, retrained = results[0], results[-1]
  assert pretext["training_images"] == len(labels) < 100
  # Tested on the three classes; retrained and tested on all.
  assert pretext["n"] < 120 and retrained["n"] == 359
  again = run_lib.run(config, tmp_path / "again")
  assert (tmp_path / "again/seed_0/labelled_labels.json").read_bytes() == (
    tmp_path / "seed_0/labelled_labels.json"
  ).read_bytes()
  assert again == results


@pytest.mark.parametrize(
  "task, section, values, words",
  [
    ("npid", "npid", {"negatives": 1439}, "npid.negatives: .*1438 training"),
    ("deepcluster", "deepcluster", {"clusters": 1439}, "clusters: .* 1438"),
    ("deepcluster", "deepcluster", {"components": 17}, "components: .* 16"),
    ("deepcluster", "deepcluster", {"start": "best"}, "start: found 'best'"),
    ("exemplar", "exemplar", {"views": 1}, "views: found 1, .* 2 to 8"),
    ("exemplar", "exemplar", {"mining": "all"}, "mining: found 'all'"),
    ("npid", "npid", {"temperature": 0.001}, "npid.temperature: .* 0.02"),
    ("s4l", "labels", {"images": 0.0}, "labels.images: found 0.0"),
  ],
)
def test_what_does_not_fit_is_refused(task, section, values, words, tmp_path):
  config = _config(task)
  config[section].update(values)
  with pytest.raises(ConfigError, match=f"config.*{words}"):
    run_lib.run(config, tmp_path / "none")
  assert not (tmp_path / "none").exists(), "something was written"


def _unlabelled(task, folder):
  folder.mkdir()
  for i in range(100):
    pixels = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(folder / f"{i}.png")
  config = _config(task)
  config.dataset.update(name="folder", data_dir=str(folder))
  return config


@pytest.mark.parametrize("task", ["labels", "s4l"])
def test_unlabelled_images_are_refused_where_labels_are_needed(task, tmp_path):
  config = _unlabelled(task, tmp_path / "images")
  with pytest.raises(ConfigError, match="folder has no labels, which .* s4l"):
    run_lib.run(config, tmp_path / "none")


@pytest.mark.parametrize("task", ["npid", "deepcluster"])
def test_unlabelled_images_are_enough_where_labels_are_not(task, tmp_path):
  config = _unlabelled(task, tmp_path / "images")
  config.retrain.rounds = ()  # retrain.fraction is still below 1.
  config.train.update(duration="3it", batch_size=16)
  config.prune.rewind = "1it"
  config.npid.negatives = 30
  results = run_lib.run(config, tmp_path / "run")
  assert {r["split"] for r in results} == {"train"}
  assert not list((tmp_path / "run").glob("**/labelled_*"))


def test_labels_are_read_only_where_they_are_seen(monkeypatch):
  # Of streamed images they may take a pass over all files.
  images = images_lib.StudyData(_config("rotnet", images=0.5))

  def read(self):
    raise AssertionError("labels were read")

  own = {"labels": property(read), "num_classes": 10, "multi_label": False}
  monkeypatch.setattr(images, "train", type("Source", (), own)())
  for task in ("rotnet", "exemplar", "npid", "deepcluster"):
    assert images.labelled_indices(task, 0) is None
  with pytest.raises(AssertionError, match="labels were read"):
    images.labelled_indices("s4l", 0)
