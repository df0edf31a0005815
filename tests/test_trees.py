"""Tests of names and digests of trees."""

import hashlib

import numpy as np

from sslprune_jax.runtime import trees

TREE = {"trunk": {"conv": {"kernel": np.arange(6.0).reshape(2, 3)}}, "b": 1}


def test_leaves_are_named_by_their_path():
  assert list(trees.named_leaves(TREE)) == ["b", "trunk/conv/kernel"]


def test_names_make_the_tree_again():
  again = trees.from_names(trees.named_leaves(TREE))
  assert again["b"] == 1
  assert again["trunk"]["conv"]["kernel"] is TREE["trunk"]["conv"]["kernel"]


def test_a_bare_leaf_has_the_empty_name_and_dictionaries_keep_their_order():
  assert trees.named_leaves(3) == {"": 3}
  assert trees.from_names({"": 3}) == {"": 3}
  nested = trees.from_names({"b/y": 1, "a": 2, "b/x": 3})
  assert list(nested) == ["b", "a"] and list(nested["b"]) == ["y", "x"]


def test_digest_covers_dtype_shape_and_every_bit():
  array = np.arange(6, dtype=np.float32).reshape(2, 3)
  digest = trees.digests({"a": array})["a"]
  expected = hashlib.sha256(b"<f4(2, 3)" + array.tobytes()).hexdigest()
  assert digest == expected
  flipped = array.copy()
  flipped.view(np.uint32)[1, 2] ^= 1
  others = [flipped, array.reshape(3, 2), array.view(np.int32)]
  assert all(trees.digests({"a": o})["a"] != digest for o in others)
  # The same values laid out otherwise in memory are the same array.
  assert trees.digests({"a": np.asfortranarray(array)})["a"] == digest
