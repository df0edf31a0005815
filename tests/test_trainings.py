"""Trainings that variants agree in: done once, to the same bits as apart."""

import contextlib
import itertools
import shutil

import numpy as np
import pytest
from helpers import TIMES, bits, die_after, short, without_updates
from ml_collections import ConfigDict

from sslprune_jax.config import variants
from sslprune_jax.study import run, trainings
from sslprune_jax.study.verify import verify
from sslprune_jax.training import loop

_ALL = {
  "a/all": {},
  "a/first": {"first_layers": 1},
  "b/all": {},
  "b/later": {"rewind": "5it"},
}
# Updates after which it is killed.
_PLACES = itertools.cycle(range(1, 61, 7))


def _config(prunes=_ALL):
  """Returns label masks, of all layers or of the first, rewound to 3 or 5."""
  config = short()
  config.tasks, config.seeds = ("labels",), (0,)
  config.prune.update(rounds=1, rewind="3it")
  config.train.duration = "6it"
  config.retrain.rounds, config.retrain.fraction = (0, 1), 0.1
  config.retrain.inits = ("rewind", "reinit")
  config.retrain.train.update(duration="4it", batch_size=32)
  for name, prune in prunes.items():
    study = config.copy_and_resolve_references()
    study.prune.update(prune)
    variants.add(config, name, study)
  return config


def _count(monkeypatch):
  """Returns the trainings that are done from now on, by their folders."""
  done, train = [], loop.train

  def counted(trainer, state, images, directory, *args, **kwargs):
    done.append(directory)
    return train(trainer, state, images, directory, *args, **kwargs)

  monkeypatch.setattr(loop, "train", counted)
  return done


def _run_apart(config, workdir):
  """Runs studies that share nothing; returns their bits."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(run, "Trainings", lambda root: trainings.Trainings(None))
    run.run(config, workdir)
  return bits(workdir)


def test_round_0_is_trained_once_whatever_is_rewound_to(tmp_path, monkeypatch):
  config = _config({"a/all": {}, "b/later": {"rewind": "5it"}})
  config.retrain.rounds, config.retrain.inits = (0,), ("reinit",)
  without_updates(monkeypatch)
  done = _count(monkeypatch)
  apart = _run_apart(config, tmp_path / "apart")
  assert len(done) == 2 * 3
  done.clear()
  run.run(config, tmp_path / "shared")
  assert bits(tmp_path / "shared") == apart
  assert [str(path.relative_to(tmp_path / "shared")) for path in done] == [
    "a/all/seed_0/labels/round_00",
    "a/all/seed_0/labels/round_01",
    "a/all/seed_0/labels/retrain/round_00/reinit",
    "b/later/seed_0/labels/round_01",
  ]


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
  """The bits of a run that shares nothing."""
  return _run_apart(_config(), tmp_path_factory.mktemp("apart"))


@pytest.mark.slow
def test_what_variants_agree_in_is_trained_once_to_the_same_bits(
  apart, tmp_path, monkeypatch
):
  done = _count(monkeypatch)
  run.run(_config(), tmp_path)
  assert bits(tmp_path) == apart
  # Of a/first round 1, and what is retrained of it. Of b/later round 1, by
  # another W_k: its mask is that of a/all, found by the same training, so that
  # the fresh weights are too; its tickets are not.
  own = [str(path.relative_to(tmp_path)) for path in done]
  counts = {n: sum(path.startswith(n) for path in own) for n in _ALL}
  assert counts == {"a/all": 6, "a/first": 3, "b/all": 0, "b/later": 3}
  for figure in ("a", "b"):
    assert verify(tmp_path / figure) == ([], 12, 0)


@pytest.mark.slow
def test_a_stage_whose_donor_is_gone_is_trained_again(
  apart, tmp_path, monkeypatch
):
  run.run(_config(), tmp_path)
  for name in ("a/all", "b/all"):
    shutil.rmtree(tmp_path / name / "seed_0")
  for file in (tmp_path / "trainings").iterdir():
    file.write_text("{")  # Damaged: of no use, and no obstacle.
  done = _count(monkeypatch)
  run.run(_config(), tmp_path)
  assert bits(tmp_path) == apart
  assert len(done) == 6


@pytest.mark.slow
def test_damage_is_not_handed_on(apart, tmp_path, monkeypatch):
  run.run(_config(), tmp_path)
  weights = tmp_path / "a/all/seed_0/labels/round_00/rewind/3"
  largest = max(weights.rglob("*"), key=lambda path: path.stat().st_size)
  content = bytearray(largest.read_bytes())
  content[len(content) // 2] ^= 1
  largest.write_bytes(content)
  shutil.rmtree(tmp_path / "b/all/seed_0/labels/round_00")
  done = _count(monkeypatch)
  run.run(_config(), tmp_path)
  assert bits(tmp_path) == apart
  assert [path.name for path in done] == ["round_00"]


@pytest.mark.slow
def test_killed_anywhere_it_ends_in_the_same_bits(apart, tmp_path):
  for number, first in enumerate(itertools.islice(_PLACES, TIMES)):
    workdir = tmp_path / str(number)
    for left in (first, 7 * first % 11 + 1, None):
      with pytest.MonkeyPatch.context() as patch:
        if left is not None:
          die_after(left, patch)
        with contextlib.suppress(KeyboardInterrupt):
          run.run(_config(), workdir)
    assert bits(workdir) == apart, first
    shutil.rmtree(workdir)


def test_a_training_is_named_by_all_that_it_is_a_function_of():
  about = {"trainer": "rotnet", "seed": 0, "start": 0}
  tree = {"a": np.arange(3.0), "b": np.ones(2, bool)}
  names = [
    trainings.key(about, tree, None),
    trainings.key({**about, "seed": 1}, tree, None),
    trainings.key(about, {**tree, "a": np.arange(3.0) + 1e-12}, None),
    trainings.key(about, {**tree, "b": np.array([True, False])}, None),
    trainings.key(about, {"a": tree["a"], "c": tree["b"]}, None),
    trainings.key(about, {**tree, "a": np.arange(3)}, None),
    trainings.key(about, tree, {"bank": np.zeros(2)}),
  ]
  assert len(set(names)) == len(names)
  assert names[0] == trainings.key(dict(reversed(about.items())), tree, None)


@pytest.mark.parametrize(
  "seeds, count, dealt",
  [
    ((0, 1, 2, 3), 2, ["a0 b0 a2 b2", "a1 b1 a3 b3"]),
    ((0, 1, 2), 2, ["a0 b0 a2", "a1 b1 b2"]),
    ((5,), 2, ["a5", "b5"]),
    ((0, 1), 1, ["a0 b0 a1 b1"]),
  ],
)
def test_seeds_are_dealt_with_all_their_studies(seeds, count, dealt):
  configs = dict.fromkeys("ab", ConfigDict({"seeds": seeds}))
  found = [
    " ".join(f"{name}{seed}" for name, seed in run._deal(configs, i, count))
    for i in range(count)
  ]
  assert found == dealt
