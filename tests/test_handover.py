"""Studies that hand their networks over: smaller, whole, and once."""

import json

import jax.export
import numpy as np
import pytest
from helpers import short

from sslprune_jax.exchange import exporting, shrink
from sslprune_jax.exchange.written import logits_of
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.study import handover, run

_ROUND = "seed_0/rotnet/round_01"


def _config():
  config = short()
  config.prune.update(structure="channels", multiple=4, rounds=1, rate=0.4)
  config.train.update(duration="4it")
  config.export.formats = ("flax", "jax")
  return config


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("study")
  run.run(_config(), workdir)
  return workdir


def test_the_last_round_is_handed_over_without_what_was_pruned(workdir):
  assert [p.parent.name for p in workdir.glob("**/export")] == ["round_01"]
  out, ticket = workdir / _ROUND / "export", workdir / _ROUND / "trained.npz"
  about = json.loads((out / "config.json").read_text())
  assert about["shrunk"] and about["formats"] == ["flax", "jax"]
  ticket = tickets.load(ticket)
  small = shrink.shrink(ticket)
  assert (
    about["weights"]
    == sum(np.size(leaf) for leaf in jax.tree.leaves(small.params))
    < sum(np.size(leaf) for leaf in jax.tree.leaves(ticket.params))
  )
  network = jax.export.deserialize(
    bytearray((out / "model.jax_export").read_bytes())
  )
  images = np.random.default_rng(0).standard_normal(
    (3, *ticket.image_shape), np.float32
  )
  found, expected = network.call(images)["logits"], logits_of(ticket, images)
  assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_what_is_there_is_left_and_what_is_damaged_is_made_again(
  workdir, monkeypatch
):
  config, written = _config(), []
  real = exporting.export_ticket
  monkeypatch.setattr(
    exporting,
    "export_ticket",
    lambda *args, **how: written.append(args[0]) or real(*args, **how),
  )
  out = workdir / _ROUND / "export"
  assert handover.write(config, workdir) == [out] and not written
  weights = out / "flax.safetensors"
  before = weights.read_bytes()
  weights.write_bytes(before[:-1])
  begun = out.with_name(".export.0123abcd.partial")
  begun.mkdir()
  handover.write(config, workdir)
  assert len(written) == 1 and weights.read_bytes() == before
  assert not begun.exists()
  config.export.formats = ("flax",)
  handover.write(config, workdir)
  assert len(written) == 2 and not (out / "model.jax_export").exists()


@pytest.mark.parametrize(
  "workdir, field, value, words",
  [
    ("gs://b/x", "formats", ("jax",), "expected () for a study in a bucket"),
    ("x", "formats", ("tflite",), "expected distinct names among"),
    (
      "x",
      "formats",
      ("jax", "safetensors"),
      "'safetensors' of the network con",
    ),
    ("x", "rounds", (2,), "config.export.rounds: found (2,), expected"),
  ],
)
def test_what_cannot_be_handed_over_is_refused_first(
  workdir, field, value, words
):
  config = _config()
  config.export[field] = value
  with pytest.raises(ConfigError) as error:
    for study in run.fit(config)[0].values():
      handover.check(study, workdir)
  assert words in str(error.value)


def test_forms_of_the_configuration_are_those_that_are_written():
  from sslprune_jax.config.fields import EXPORT_FORMS

  assert set(EXPORT_FORMS) == set(exporting.FORMATS)
