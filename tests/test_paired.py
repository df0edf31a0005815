"""Pairs: what a claim compares within a seed differs in what it is about alone.

The images, their order, their augmentation and the fresh weights are those of
the seed, wherever a figure takes a difference of accuracies.
"""

import collections
import dataclasses
import hashlib
import json

import jax
import numpy as np
import pytest
from helpers import without_updates

from sslprune_jax import config as config_lib
from sslprune_jax.config import figures, variants
from sslprune_jax.config import files as config_files
from sslprune_jax.runtime.trees import named_leaves
from sslprune_jax.study import run

FIGURES = sorted(
  f for f in config_files.own_configs() if f.startswith("paper/")
)
# What networks are judged by, but for which of them are.
_JUDGED_BY = ("dataset", "model", "retrain", "transfer", "seeds")
_CHOSEN = ("rounds", "inits", "protocols", "random")


@pytest.mark.parametrize("figure", FIGURES)
def test_networks_of_a_figure_are_judged_by_one_recipe_on_one_set(figure):
  for dataset in figures.DATASETS:
    found = set()
    for study in variants.expand(
      config_files.load(f"{figure}:{dataset}")
    ).values():
      read = {name: config_lib.resolve(study)[name] for name in _JUDGED_BY}
      if not study.retrain.rounds:  # A target has its own crops.
        del read["dataset"]["crop_scale"]
      for name in _CHOSEN:
        for section in ("retrain", "transfer"):
          read[section].pop(name, None)
      found.add(json.dumps(read, sort_keys=True))
    assert len(found) == 1, f"{figure}:{dataset}"


def test_small_sets_are_tested_on_all_that_is_left_for_it():
  for figure in FIGURES:
    for dataset in figures.LOOKS:
      for study in variants.expand(
        config_files.load(f"{figure}:{dataset}")
      ).values():
        assert study.dataset.test == "test"  # 10,000 and 901 images.
        targets = {p.split(":")[1] for p in study.transfer.protocols}
        assert targets <= set(figures.LOOKS)


@dataclasses.dataclass
class _Begun:
  """What a training starts from."""

  images: tuple[str, str]
  order: bytes
  augmentation: bytes
  recipe: tuple[int, int, int]
  weights: dict[str, np.ndarray]


def _digest(source):
  rows = source.read(np.arange(len(source)))
  content = rows["image"].tobytes() + rows["label"].tobytes()
  return hashlib.sha256(content).hexdigest()


def _record(config, workdir, monkeypatch):
  """Runs a figure with trainings of no update.

  Returns:
    (seed, kind) -> what its trainings start from. The kind of a retraining is
    its start, of a transfer its protocol, of a dense training "dense".
  """
  found = collections.defaultdict(list)

  def begin(trainer, state, images, directory, seed, is_dense):
    kind = "dense" if is_dense else directory.name.partition("_")[0]
    batch = next(trainer.batches(state, images.train, seed, 0, 1))
    found[seed, kind].append(
      _Begun(
        (_digest(images.train), _digest(images.test)),
        np.asarray(batch["index"]).tobytes(),
        np.asarray(jax.random.key_data(state.rng)).tobytes(),
        (trainer.length, trainer.batch_size, int(state.step)),
        named_leaves(jax.device_get(state.params)),
      )
    )

  without_updates(monkeypatch, begin)
  run.run(config, workdir)
  return found


def _expect_equal(begun, fields="images order augmentation recipe", part=""):
  """Expects equal fields, and equal weights of a part where masks keep both."""
  first, *others = begun
  assert others
  for other in others:
    for field in fields.split():
      assert getattr(other, field) == getattr(first, field), field
    for name in [name for name in first.weights if name.startswith(part)]:
      a, b = first.weights[name], other.weights[name]
      kept = (a != 0) & (b != 0)
      assert kept.any() or not a.any()
      np.testing.assert_array_equal(a[kept], b[kept], name)


def _small(figure, **section):
  """Returns Labels and RotNet of a figure: two seeds, one round."""
  config = config_files.load(f"paper/{figure}:digits_half")
  with config.unlocked():
    for name in set(config.variants) - {"labels", "rotnet"}:
      del config.variants[name]
  config.seeds, config.prune.rounds, config.model.width = (3, 4), 1, 0.25
  for study in (config, *config.variants.values()):
    for name, rounds in section.items():
      if "rounds" in study[name] or study is config:
        study[name].rounds = rounds
  return config


def test_masks_are_retrained_on_the_same_images_from_the_same_weights(
  tmp_path, monkeypatch
):
  config = _small("fig3_masks", retrain=(1,))
  found = _record(config, tmp_path, monkeypatch)
  fresh = "reinit", "random", "adjusted"
  for seed in (3, 4):
    _expect_equal([b for init in fresh for b in found[seed, init]])
    every = [b for init in (*fresh, "rewind") for b in found[seed, init]]
    _expect_equal(every, part="head")
    assert len(every) == 6
    # Dense networks of all tasks start from one trunk, on the same images.
    _expect_equal(found[seed, "dense"], "images augmentation", "trunk")
  of_seeds = [found[seed, "reinit"][0] for seed in (3, 4)]
  for field in ("images", "order", "augmentation"):
    with pytest.raises(AssertionError, match=field):
      _expect_equal(of_seeds, field, "none")
  with pytest.raises(AssertionError, match="kernel"):
    _expect_equal(of_seeds, "recipe")


def test_networks_are_fine_tuned_on_the_same_images_under_the_same_head(
  tmp_path, monkeypatch
):
  config = _small("fig2_when_to_prune", transfer=(0, 1))
  found = _record(config, tmp_path, monkeypatch)
  for seed in (3, 4):
    every = found[seed, "finetune"] + found[seed, "prune"]
    assert len(every) == 9  # Two of two tasks twice, and an untrained one.
    _expect_equal(every, part="head")
