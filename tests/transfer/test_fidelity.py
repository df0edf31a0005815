"""Fidelity: features and neighbours held against those of config.start."""

import gc
import weakref

import jax
import numpy as np
import pytest
from helpers import save_drawn

from sslprune_jax import data
from sslprune_jax.config import files as config_files
from sslprune_jax.config import protocols
from sslprune_jax.features import extraction
from sslprune_jax.pruning import magnitude, tickets
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import alone
from sslprune_jax.transfer import fidelity, protocol, target


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp("fidelity") / "dense.npz"
  save_drawn(path)
  return path


def _config(file, **fields):
  config = config_files.load("transfer:digits")
  config.start = str(file)
  config.transfer.update(
    protocols=("fidelity:digits",), layers=("features",), random=False
  )
  config.transfer.update(fields)
  return config


def test_neighbours_that_are_kept_are_those_of_numpy(monkeypatch):
  monkeypatch.setattr(fidelity, "_BLOCK", 7)  # The last block is smaller.
  rng = np.random.default_rng(0)
  rows, others = (
    fidelity.standardise(x, x.mean(0), x.std(0))
    for x in rng.normal(size=(2, 30, 5)).astype(np.float32)
  )
  kept = []
  for a, b in zip(rows @ rows.T, others @ others.T, strict=True):
    place = len(kept)
    near = [
      {*np.argsort(-np.where(np.arange(30) == place, -9, x))[:4]}
      for x in (a, b)
    ]
    kept.append(len(near[0] & near[1]) / 4)
  found = fidelity.neighbours_kept(rows, others, 4)
  assert found == pytest.approx(np.mean(kept))
  assert fidelity.neighbours_kept(rows, rows, 4) == 1


def test_a_channel_that_does_not_move_has_no_part():
  rows = np.float32([[1, 5, 3], [2, 5, 1], [6, 5, 2]])
  found = fidelity.standardise(rows, rows.mean(0), rows.std(0))
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
  assert (found[:, 1] == 0).all()


def test_a_network_is_like_itself_and_less_so_the_more_is_pruned(
  file, tmp_path
):
  dense = tickets.load(file)
  scores = magnitude.score("magnitude", dense.params, dense.masks)
  found = []
  for density in (1, 0.5, 0.1):
    masks = dense.masks
    if density < 1:
      masks = magnitude.prune_to(
        scores, masks, density, np.random.default_rng(0)
      )
    params = jax.tree.map(lambda w, m: w * m, dense.params, masks)
    path = tmp_path / f"{density}.npz"
    meta = dense.meta | {"task": "cut", "seed": 0, "round": int(10 * density)}
    tickets.save(path, tickets.Ticket(masks, params, dense.batch_stats, meta))
    lines = alone.run(_config(file), [path], tmp_path / f"w{density}")
    found.append({line["metric"]: line["value"] for line in lines})
  for metric in ("cosine", "neighbours_kept"):
    for end in ("", "_for_choice"):
      values = [scores[metric + end] for scores in found]
      assert values[0] == pytest.approx(1, abs=1e-5)
      assert values[0] > values[1] > values[2] > 0


def test_linear_and_knn_judge_held_out_training_images_too(file, tmp_path):
  config = _config(
    file, protocols=("knn:digits", "linear:digits"), held_out=0.25
  )
  config.transfer.linear.train.duration = "5ep"
  lines = alone.run(config, [_named(file, tmp_path)], tmp_path / "w")
  found = {(x["protocol"], x["metric"]): x["value"] for x in lines}
  assert len(found) == 6  # The loss of linear too.
  for name in ("knn", "linear"):
    chosen = found[name, "accuracy_for_choice"]
    assert 0.3 < chosen <= 1 and chosen != found[name, "accuracy"]


def _named(file, tmp_path):
  ticket = tickets.load(file)
  path = tmp_path / "named.npz"
  meta = ticket.meta | {"task": "dense", "seed": 0, "round": 0}
  tickets.save(
    path, tickets.Ticket(ticket.masks, ticket.params, ticket.batch_stats, meta)
  )
  return path


def test_of_many_images_some_are_compared_and_counted(
  file, tmp_path, monkeypatch
):
  monkeypatch.setattr(fidelity, "_MOST", 50)
  lines = alone.run(_config(file), [_named(file, tmp_path)], tmp_path / "w")
  assert {(x["n"], x["training_images"]) for x in lines} == {(50, 50)}


def test_features_are_kept_with_the_images_that_they_are_of(file, monkeypatch):
  config, row = _config(file), protocols.find("fidelity")
  config.model.width = 0.25
  images = target.Target(config, "digits", True, False)
  judge = protocol.load(row)(row, config, images, 1.0, "features")
  extracted = []

  def extract(step, variables, source, *args, **kwargs):
    extracted.append(len(source))
    return extraction.Features(jax.numpy.zeros((1, 1, 1)), np.zeros(1, int))

  monkeypatch.setattr(extraction, "extract", extract)
  ticket = tickets.load(file)
  first = data.subset(images.train, np.arange(20))
  for source in (first, first, data.subset(images.train, np.arange(30))):
    judge.extract(ticket, source)
  assert extracted == [20, 30]
  alive = weakref.ref(first)
  del first, source
  gc.collect()
  # Else another source could get its address, and be given its features.
  assert alive() is not None


def test_what_cannot_be_compared_is_refused(file, tmp_path):
  path = _named(file, tmp_path)
  with pytest.raises(ConfigError, match="found fidelity, which compares with"):
    alone.run(_config(""), [path], tmp_path / "w")
  config = _config(file)
  config.transfer.fidelity.neighbours = 400
  with pytest.raises(ConfigError, match="found 400, expected fewer than h"):
    alone.run(config, [path], tmp_path / "v")
