"""Studies that start from a file: rewound to it, and held to its digest."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch_files
from helpers import bits, die_after, save_drawn, short

from sslprune_jax.exchange.importing import read_start
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import run, validation


def _config(file, **prune):
  config = short()
  config.start = str(file)
  config.model.update(name="", width=1.0)
  config.dataset.update(image_size=0, channels=0, mean=(), std=())
  config.prune.update(train_dense=False, rewind="0it", rounds=1)
  config.prune.update(prune)
  config.train.update(duration="6it", batch_size=32)
  return config


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp("start") / "theirs.npz"
  save_drawn(path)
  return path


@pytest.fixture(scope="module")
def study(file, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("study")
  lines = run.run(_config(file), workdir)
  return workdir, lines


def _tickets(workdir, index):
  folder = workdir / f"seed_0/rotnet/round_{index:02d}"
  return [
    tickets.load(folder / f"{kind}.npz") for kind in ("ticket", "trained")
  ]


def test_a_checkpoint_of_moco_stays_as_it_came(tmp_path):
  file, arrays = tmp_path / "moco.pth.tar", torch_files.resnet18()
  wrapped = {f"module.encoder_q.{k}": v for k, v in arrays.items()}
  torch_files.save_zip(file, {"state_dict": wrapped, "epoch": 200})
  config = _config(file, rounds=0)
  config.dataset.image_size = 32
  (dense, _) = run.run(config, tmp_path / "w")
  for ticket in _tickets(tmp_path / "w", 0):
    kernel = ticket.params["trunk"]["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(
      kernel, arrays["conv1.weight"].transpose(2, 3, 1, 0)
    )
    assert ticket.meta["start"] == read_start(str(file)).sha256
  assert dense["updates"] == 0 and dense["density"] == 1
  assert dense["model"] == "resnet18 (imagenet) x 0.125"


def test_images_that_are_too_small_for_it_are_refused(tmp_path):
  file = tmp_path / "moco.pth"
  torch_files.save_zip(file, torch_files.resnet18())
  with pytest.raises(ConfigError, match="config.model.name: resnet18 takes im"):
    config = _config(file, rounds=0)
    config.dataset.image_size = 24
    run.run(config, tmp_path / "w")


def test_rounds_rewind_to_it_and_train_for_the_whole_schedule(study):
  workdir, lines = study
  dense, _ = _tickets(workdir, 0)
  sparse, trained = _tickets(workdir, 1)
  under = jax.tree.map(lambda w, m: w * m, dense.params, sparse.masks)
  jax.tree.map(np.testing.assert_array_equal, sparse.params, under)
  jax.tree.map(
    np.testing.assert_array_equal, sparse.batch_stats, dense.batch_stats
  )
  kernels = [
    t.params["trunk"]["stage1"]["conv"]["kernel"] for t in (sparse, trained)
  ]
  assert (kernels[0] != kernels[1]).any(), "not trained"
  line = next(line for line in lines if line["round"] == 1)
  assert line["updates"] == 6 and line["rewind_update"] == 0
  assert abs(line["density"] - 0.8) < 1e-4


def test_killed_it_ends_in_the_same_bits(study, file, tmp_path):
  with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
    die_after(3, patch)
    run.run(_config(file), tmp_path)
  run.run(_config(file), tmp_path)
  assert bits(tmp_path) == bits(study[0])


def test_a_trained_dense_network_starts_from_it_too(file, tmp_path):
  run.run(_config(file, train_dense=True, rewind="2it", rounds=0), tmp_path)
  kernels = [
    t.params["trunk"]["stage1"]["conv"]["kernel"]
    for t in (tickets.load(file), *_tickets(tmp_path, 0))
  ]
  early, trained = (np.abs(kernel - kernels[0]).max() for kernel in kernels[1:])
  assert 0 < early < trained < 0.5


def test_rounds_that_go_on_from_trained_weights_start_where_these_ended(
  file, tmp_path
):
  goes_on = {"rewind": "2it", "restart_from": "trained"}
  config = _config(file, train_dense=True, schedule="restart", **goes_on)
  with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
    die_after(6 + 3, patch)  # In round 1.
    run.run(config, tmp_path / "in_one")
  run.run(config, tmp_path / "in_one")
  ended = tmp_path / "in_one/seed_0/rotnet/round_00/trained.npz"
  run.run(_config(ended), tmp_path / "by_hand")
  (sparse, trained), (_, by_hand) = (
    _tickets(tmp_path / name, 1) for name in ("in_one", "by_hand")
  )
  for tree in ("masks", "params", "batch_stats"):
    jax.tree.map(
      np.testing.assert_array_equal,
      getattr(trained, tree),
      getattr(by_hand, tree),
    )
  # The ticket is W_k's as ever, of update 2 of the dense training.
  early, _ = _tickets(tmp_path / "in_one", 0)
  under = jax.tree.map(lambda w, m: w * m, early.params, sparse.masks)
  jax.tree.map(np.testing.assert_array_equal, sparse.params, under)


def test_learning_rate_rewinding_takes_the_schedule_up_at_k(file, tmp_path):
  fields = {"train_dense": True, "rewind": "2it"}
  ends = []
  for restart_from in ("rewind", "trained"):
    workdir = tmp_path / restart_from
    lines = run.run(_config(file, restart_from=restart_from, **fields), workdir)
    assert [line["updates"] for line in lines[::2]] == [6, 4]
    ends.append(_tickets(workdir, 1)[1])
  masks = [
    np.asarray(end.masks["trunk"]["stage1"]["conv"]["kernel"]) for end in ends
  ]
  np.testing.assert_array_equal(*masks)
  kernels = [end.params["trunk"]["stage1"]["conv"]["kernel"] for end in ends]
  assert (kernels[0] != kernels[1]).any()


@pytest.mark.parametrize(
  ("task", "prune", "words"),
  [
    (
      "npid",
      {"restart_from": "trained", "rewind": "2it"},
      "tasks: .*where prune.restart_from is trained and prune.sched",
    ),
    # Of 359 images this is update 4, of one image none.
    (
      "labels",
      {"train_dense": False, "rewind": "0.4ep"},
      "prune.rewind: found '0.4ep', expected 0it",
    ),
  ],
)
def test_what_a_round_cannot_start_from_is_refused(task, prune, words):
  config = short()
  config.tasks = (task,)
  config.prune.update(prune)
  with pytest.raises(ConfigError, match=words):
    validation.validate(config)


def test_a_ticket_keeps_its_masks_and_a_head_that_fits(study, tmp_path):
  workdir, _ = study
  path = workdir / "seed_0/rotnet/round_01/trained.npz"
  before = tickets.load(path)
  config = _config(path)
  config.prune.rounds = 1
  lines = run.run(config, tmp_path)
  dense, _ = _tickets(tmp_path, 0)
  sparse, _ = _tickets(tmp_path, 1)
  jax.tree.map(np.testing.assert_array_equal, dense.masks, before.masks)
  jax.tree.map(np.testing.assert_array_equal, dense.params, before.params)
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(a & b, a),
    sparse.masks,
    before.masks,
  )
  assert [round(x["density"], 2) for x in lines[::2]] == [0.8, 0.64]


def test_controls_of_a_pruned_start_are_trained_at_round_0(study, tmp_path):
  trained = study[0] / "seed_0/rotnet/round_01/trained.npz"
  config = _config(trained, rounds=0)
  config.retrain.update(rounds=(0,), inits=("reinit", "random"))
  config.retrain.train.update(duration="4it", batch_size=32)
  lines = run.run(config, tmp_path)
  found = {x["init"]: x["value"] for x in lines if x["metric"] == "loss"}
  assert found["reinit"] != found["random"]
  folder = tmp_path / "seed_0/rotnet/retrain/round_00"
  assert (folder / "random/metrics.jsonl").exists()


def test_another_file_is_another_study(study, file, tmp_path):
  workdir, _ = study
  other = tmp_path / "other.npz"
  save_drawn(other, seed=1)
  with pytest.raises(ConfigError, match="SHA-256 of config.start: '"):
    run.run(_config(other), workdir)
  # Where it lies is no part of it.
  moved = tmp_path / "moved.npz"
  moved.write_bytes(file.read_bytes())
  before = bits(workdir)
  run.run(_config(moved), workdir)
  assert bits(workdir) == before
  recorded = json.loads((workdir / "config.json").read_text())
  assert recorded["start"] == read_start(str(moved)).sha256


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("model.name", "resnet50", "model.name: found 'resnet50', expected 'convn"),
    (
      "dataset.std",
      (1.0,) * 3,
      r"dataset.std: found .*config.dataset.std=\(\)",
    ),
    ("dataset.channels", 3, "dataset.channels: found 3, expected 1"),
    ("prune.rewind", "1ep", "prune.rewind: found '1ep', expected 0it where"),
    ("start", "nothing.pth", "config.start: nothing.pth: "),
    ("start", 3, "config.start: found 3, expected a text"),
  ],
)
def test_what_disagrees_is_refused_and_named(
  file, field, value, words, tmp_path
):
  config = _config(file)
  section = config
  *parents, last = field.split(".")
  for parent in parents:
    section = section[parent]
  with section.ignore_type():
    section[last] = value
  with pytest.raises(ConfigError, match=words):
    run.run(config, tmp_path / "w")
  assert not (tmp_path / "w").exists()


def test_at_once_each_density_is_cut_from_the_dense_network(file, tmp_path):
  config = _config(file, method="one-shot", densities=(0.5, 0.05))
  config.retrain.update(rounds=(2,), inits=("rewind",))
  config.retrain.train.update(duration="4it", batch_size=32)
  lines = run.run(config, tmp_path)
  found = [x for x in lines if x["metric"] == "loss" and x["init"] is None]
  assert [round(x["density"], 3) for x in found] == [1, 0.5, 0.05]
  assert [x["updates"] for x in found] == [0, 0, 0]
  dense = tickets.load(file)
  for index in (1, 2):
    ticket, trained = _tickets(tmp_path, index)
    under = jax.tree.map(lambda w, m: w * m, dense.params, ticket.masks)
    jax.tree.map(np.testing.assert_array_equal, ticket.params, under)
    jax.tree.map(np.testing.assert_array_equal, trained.params, under)
  kept, pruned = (
    np.concatenate(
      [
        np.abs(w[m == keep])
        for w, m in zip(
          *map(jax.tree.leaves, (dense.params["trunk"], ticket.masks["trunk"])),
          strict=True,
        )
        if m.ndim
      ]
    )
    for keep in (True, False)
  )
  assert kept.min() >= pruned.max()
  retrained = [x for x in lines if x["init"] == "rewind"]
  assert retrained[0]["updates"] == 4


def test_densities_that_are_not_to_be_had_are_refused(file, study, tmp_path):
  sparse = study[0] / "seed_0/rotnet/round_01/trained.npz"
  config = _config(sparse, method="one-shot", densities=(0.9,))
  with pytest.raises(
    ConfigError,
    match=r"densities: found 0.9, which is .* at "
    "most the",
  ):
    run.run(config, tmp_path)
  for fields, tasks, words in (
    (
      {"densities": (0.5,)},
      ("rotnet",),
      r"found \(0.5,\), expected \(\) where",
    ),
    ({"method": "one-shot"}, ("rotnet",), "densities: found .*at least one"),
    (
      {"method": "one-shot", "densities": (0.5,)},
      ("npid",),
      "config.tasks: found .*the others answer by",
    ),
  ):
    config = _config(file, **fields)
    config.tasks = tasks
    with pytest.raises(ConfigError, match=words):
      run.run(config, tmp_path)


def test_a_ticket_that_does_not_say_what_it_is_is_named(file, tmp_path):
  ticket = tickets.load(file)
  for section, name in (("model", "width"), ("dataset", "mean")):
    meta = json.loads(json.dumps(ticket.meta))
    del meta["config"][section][name]
    path = tmp_path / f"without_{name}.npz"
    tickets.save(path, dataclasses.replace(ticket, meta=meta))
    words = rf"config.start: .*without_{name}.npz: meta.config.{section}.{name}"
    with pytest.raises(ConfigError, match=words):
      run.run(_config(path), tmp_path / "w")
