"""Tests of ticket files."""

import collections
import dataclasses
import json
import pathlib
import zipfile

import chex
import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from sslprune_jax import data, models
from sslprune_jax.data import augment
from sslprune_jax.features import extraction
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import ticket_file, tickets
from sslprune_jax.runtime.trees import digests, from_names
from sslprune_jax.study import identity

PARAMS = {
  "trunk": {"a": {"kernel": np.arange(1, 25, dtype=np.float32).reshape(4, 6)}},
  "head": {"kernel": np.ones((6, 2), np.float32)},
}
STATS = {"trunk": {"bn": {"mean": np.ones(6, np.float32)}}}


def _ticket():
  masks = masks_lib.dense(PARAMS)
  masks["trunk"]["a"]["kernel"][:, ::2] = False
  return tickets.Ticket(masks, PARAMS, STATS, {"task": "rotnet", "seed": 3})


def test_a_ticket_survives_and_is_masked(tmp_path):
  tickets.save(tmp_path / "t.npz", _ticket())
  loaded = tickets.load(tmp_path / "t.npz")
  chex.assert_trees_all_equal(loaded.masks, _ticket().masks)
  chex.assert_trees_all_equal(
    loaded.params, jax.device_get(masks_lib.apply(loaded.masks, PARAMS))
  )
  chex.assert_trees_all_equal(loaded.batch_stats, STATS)
  assert loaded.meta["task"] == "rotnet" and loaded.meta["seed"] == 3


def test_a_stranger_opens_it_with_numpy_alone(tmp_path):
  tickets.save(tmp_path / "t.npz", _ticket())
  with np.load(tmp_path / "t.npz") as file:
    bits = np.unpackbits(file["mask/trunk/a/kernel"], count=24).astype(bool)
    kept = file["params/trunk/a/kernel"]
  assert kept.size == 12  # Only what remains is stored.
  np.testing.assert_array_equal(PARAMS["trunk"]["a"]["kernel"].flat[bits], kept)


def test_the_same_ticket_is_the_same_file(tmp_path):
  for name in "ab":
    tickets.save(tmp_path / f"{name}.npz", _ticket())
  assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_ticket_of_any_tree_survives(tmp_path):
  params = {"Dense_0": {"kernel": np.ones((3, 2), np.float32)}}
  masks = masks_lib.dense(params, lambda name: True)
  masks["Dense_0"]["kernel"][0] = False
  params = jax.device_get(masks_lib.apply(masks, params))
  tickets.save(tmp_path / "t.npz", tickets.Ticket(masks, params, {}, {}))
  loaded = tickets.load(tmp_path / "t.npz")
  chex.assert_trees_all_equal((loaded.masks, loaded.params), (masks, params))


# A real one, that the first version of the format holds.
_TRAINED = pathlib.Path(__file__).parent.joinpath(
  "workdirs/first/seed_0/npid/round_00/trained.npz"
)


def test_a_ticket_computes_the_features_that_extraction_finds():
  ticket = tickets.load(_TRAINED)
  config = ConfigDict(identity.complete(ticket.meta["config"]))
  source = data.load(data.Spec.from_config(config.dataset, config.dataset.test))
  network = models.from_config(config.model, config.npid.embedding)
  step = extraction.make_step(network, augment.make_normalise(config.dataset))
  found = extraction.extract(step, ticket.variables, source, 100).on_host()
  assert found.std() > 0.1
  images = np.asarray(source.images)
  np.testing.assert_allclose(ticket.features(images), found, atol=1e-5)
  assert ticket.network().head.features == config.npid.embedding
  with pytest.raises(AssertionError, match="assert_shape.*8"):
    ticket.features(images[:, 1:])


def test_a_ticket_with_a_head_of_two_layers_still_has_features():
  plain = tickets.load(_TRAINED)
  layers = {"layers_0": {"kernel": np.ones((8, 4), np.float32)}}
  params = {"trunk": plain.params["trunk"], "head": layers}
  masks = {**masks_lib.dense(params), "trunk": plain.masks["trunk"]}
  ticket = tickets.Ticket(masks, params, plain.batch_stats, plain.meta)
  images = np.zeros((2, 8, 8, 1), np.uint8)
  np.testing.assert_array_equal(ticket.features(images), plain.features(images))
  with pytest.raises(
    tickets.TicketError, match="head: found .'layers_0/kernel"
  ):
    ticket.network()


def test_a_ticket_that_does_not_know_its_network_says_so():
  ticket = _ticket()
  with pytest.raises(tickets.TicketError, match="meta.config: found no model"):
    ticket.network(num_outputs=2)
  model = {"name": "lenet", "width": 1.0, "sobel": False}
  ticket.meta["config"] = {"model": model}
  with pytest.raises(
    tickets.TicketError, match="meta.config.model: .*found 'lenet', expected"
  ):
    ticket.network(num_outputs=2)
  # A head without a bias is none that Flax's Dense has.
  with pytest.raises(tickets.TicketError, match="found .'kernel'., expected"):
    ticket.network()


def test_batch_norm_has_masks_where_channels_are_pruned(tmp_path):
  trunk = {**PARAMS["trunk"], "bn": {"scale": np.ones(6, np.float32)}}
  params = {**PARAMS, "trunk": trunk}
  masks = masks_lib.dense(params, lambda name: name.startswith("trunk/"))
  masks["trunk"]["bn"]["scale"][::2] = False
  tickets.save(tmp_path / "t.npz", tickets.Ticket(masks, params, STATS, {}))
  loaded = tickets.load(tmp_path / "t.npz")
  chex.assert_trees_all_equal(loaded.masks, masks)
  assert loaded.params["trunk"]["bn"]["scale"].tolist() == [0, 1] * 3


def test_a_ticket_of_a_newer_version_says_so(tmp_path, monkeypatch):
  monkeypatch.setattr(ticket_file, "VERSION", 4)
  tickets.save(tmp_path / "t.npz", _ticket())
  monkeypatch.undo()
  with pytest.raises(
    tickets.TicketError, match="version: found 4, expected at most 3; a newer"
  ):
    tickets.load(tmp_path / "t.npz")


def test_damage_is_named(tmp_path):
  path = tmp_path / "t.npz"
  with pytest.raises(tickets.TicketError, match="t.npz: no such ticket"):
    tickets.load(path)
  tickets.save(path, _ticket())
  whole = path.read_bytes()
  place = whole.index(np.float32(24).tobytes())
  flipped = bytearray(whole)
  flipped[place] ^= 1
  for bad in (whole[: len(whole) // 2], bytes(flipped), b""):
    path.write_bytes(bad)
    with pytest.raises(tickets.TicketError, match="t.npz: .*damaged"):
      tickets.load(path)


def _written(path, entries, **meta):
  """Writes a file as a ticket is, its digests right, whatever it says."""
  entries = {k: np.asarray(v) for k, v in entries.items()}
  # One by one: a name may stand within another.
  own = [digests(from_names({k: v})) for k, v in entries.items()]
  meta = {"sha256": dict(collections.ChainMap(*own)), **meta}
  entries["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
  np.savez(path, **entries)


_WHOLE = {"params/w": np.ones((2, 3), np.float32)}


@pytest.mark.parametrize(
  "entries, shapes, words",
  [
    ({"params/w": np.ones((2, 3), np.float64)}, {"w": [2, 3]}, "float64"),
    ({"params/w": np.ones((2, 3), np.int32)}, {"w": [2, 3]}, "int32"),
    (_WHOLE, {"w": [3, 2]}, r"shape \(2, 3\), expected \(3, 2\)"),
    (_WHOLE, {"w": [-2, -3]}, "expected whole numbers"),
    (_WHOLE, {"w": ["2", 3]}, "expected whole numbers"),
    (_WHOLE, {"w": 6}, "no ticket"),
    (_WHOLE, ["w"], "no ticket"),
    (_WHOLE, {"v": [2, 3]}, "params/v: found it in one of"),
    (_WHOLE, {"w": [10**9, 10**9]}, "expected .1000000000, 1000000000"),
    (
      {**_WHOLE, "mask/w": np.ones(1, np.uint8)},
      {"w": [10**9, 10**9]},
      "found 1 bytes, expected 125000000000000000",
    ),
    (
      {"params/w": np.ones(5, np.float32), "mask/w": np.full(1, 252, np.uint8)},
      {"w": [2, 3]},
      r"found the shape \(5,\), expected \(6,\)",
    ),
    ({"params/w": np.full(3, np.nan, np.float32)}, {"w": [3]}, "found NaN or"),
    ({**_WHOLE, "code/x": np.ones(1, np.uint8)}, {"w": [2, 3]}, "no ticket"),
    (
      {**_WHOLE, "params/w/x": np.ones(1, np.float32)},
      {"w": [2, 3]},
      "no ticket, or damaged",
    ),
    (_WHOLE, {"w": [2, 3]}, "mask: found none, expected one of each pruned"),
  ],
)
def test_a_ticket_of_anybody_is_held_against_what_it_declares(
  entries, shapes, words, tmp_path
):
  path = tmp_path / "t.npz"
  _written(path, entries, shapes=shapes)
  with pytest.raises(tickets.TicketError, match=words) as error:
    tickets.load(path)
  assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_no_more_is_read_than_the_file_holds(tmp_path):
  path = tmp_path / "t.npz"
  np.savez_compressed(path, **{"params/w": np.zeros(10**8, np.float32)})
  assert path.stat().st_size < 10**6
  with pytest.raises(tickets.TicketError, match="found it deflated"):
    tickets.load(path)
  header = np.lib.format.magic(1, 0)
  words = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000,)}\n"
  content = header + len(words).to_bytes(2, "little") + words + b"\0" * 8
  with zipfile.ZipFile(path, "w") as file:
    file.writestr("params/w.npy", content)
  with pytest.raises(tickets.TicketError, match="found 8 bytes, expected"):
    tickets.load(path)


def test_members_that_lie_over_each_other_are_refused(tmp_path):
  path = tmp_path / "t.npz"
  np.savez(path, w=np.zeros(1000, np.float32))
  content = bytearray(path.read_bytes())
  first = content.index(b"PK\x01\x02")
  end = content.index(b"PK\x05\x06")
  entry, last = content[first:end], content[end:]
  last[8:12] = (3).to_bytes(2, "little") * 2  # Entries of the directory.
  last[12:16] = (3 * len(entry)).to_bytes(4, "little")
  path.write_bytes(content[:first] + entry * 3 + last)
  with pytest.raises(tickets.TicketError, match="found members of 12"):
    tickets.load(path)


def test_objects_are_never_unpickled(tmp_path):
  path = tmp_path / "t.npz"
  np.savez(path, **{"params/w": np.array([print], object)})
  with pytest.raises(tickets.TicketError, match="object"):
    tickets.load(path)


def test_a_folder_is_no_ticket(tmp_path):
  with pytest.raises(tickets.TicketError, match="Is a directory"):
    tickets.load(tmp_path)


def test_what_a_ticket_says_is_digested_too(tmp_path):
  path = tmp_path / "t.npz"
  tickets.save(path, _ticket())
  with np.load(path) as file:
    entries = dict(file)
  meta = json.loads(entries["meta"].tobytes()) | {"seed": 4}
  entries["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
  np.savez(path, **entries)
  with pytest.raises(tickets.TicketError, match="not those of its digest"):
    tickets.load(path)
  del meta["sha256"]["meta"]  # Of the first version.
  entries["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
  np.savez(path, **entries)
  assert tickets.load(path).meta["seed"] == 4


def test_features_are_of_the_network_that_is_declared():
  ticket = tickets.load(_TRAINED)
  ticket.meta["config"]["model"]["width"] = 10**6
  with pytest.raises(tickets.TicketError, match="of another architecture"):
    ticket.features(np.zeros((1, 8, 8, 1), np.uint8))


@pytest.mark.parametrize(
  "field, value, words",
  [
    ("model.width", float("inf"), "model.width: found inf, expected"),
    ("model.sobel", None, "model.sobel: found None, expected true or"),
    ("dataset.mean", ["x"], "dataset.mean: found .'x'., expected"),
    ("dataset.mean", None, "dataset.mean: found None, expected"),
    ("dataset.std", [1.0] * 3, "dataset.std: found .*, expected 1 numbers"),
    ("dataset", 3, "meta.config: found no dataset"),
    ("image_shape", None, "meta.image_shape: found None, expected three"),
    ("image_shape", ["a", 8, 1], "meta.image_shape: found .*, expected three"),
  ],
)
def test_features_are_of_a_ticket_that_says_how_it_sees(field, value, words):
  ticket = tickets.load(_TRAINED)
  section, _, name = field.rpartition(".")
  of = ticket.meta if field == "image_shape" else ticket.meta["config"]
  (of[section] if section else of)[name] = value
  with pytest.raises(tickets.TicketError, match=words):
    ticket.features(np.zeros((1, 8, 8, 1), np.uint8))


def test_features_are_of_the_statistics_of_the_network():
  plain = tickets.load(_TRAINED)
  images = np.zeros((1, 8, 8, 1), np.uint8)
  trunk = plain.batch_stats["trunk"]
  first = next(iter(trunk))
  others = (
    {},
    {k: v for k, v in trunk.items() if k != first},
    {**trunk, "more": {"mean": np.ones(3, np.float32)}},
    jax.tree.map(lambda leaf: leaf[1:], trunk),
  )
  for other in others:
    ticket = dataclasses.replace(plain, batch_stats={"trunk": other})
    with pytest.raises(
      tickets.TicketError, match="architecture: batch_stats of trunk/.* has sh"
    ):
      ticket.features(images)
