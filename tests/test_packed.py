"""Packed trees: cut again bit for bit, and refused with any bit of another."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax.runtime import trees
from sslprune_jax.training import packed

_ROW = "2075aeb10109722474718de4208a4ecc"


def _tree():
  rng = np.random.default_rng(0)
  return {
    "trunk": {"b": rng.normal(size=(2, 3, 2)), "a": np.float64(3)},
    "masks": [rng.random(5) < 0.5, rng.random((0, 2)) < 0.5],
    "half": np.asarray(jnp.arange(3, dtype=jnp.bfloat16)),
    "turned": np.asfortranarray(rng.normal(size=(3, 4))),
  }


def test_what_is_packed_is_an_array_a_dtype_and_is_cut_again():
  arrays, contents = packed.pack(_tree())
  assert {name: array.shape for name, array in arrays.items()} == {
    "float64": (25,),
    "bool": (5,),
    "bfloat16": (3,),
  }
  leaves = trees.named_leaves(_tree())
  found = packed.unpack(arrays, json.loads(json.dumps(contents)))
  assert found.keys() == leaves.keys()
  for name, leaf in leaves.items():
    np.testing.assert_array_equal(found[name], leaf)
    assert found[name].dtype == leaf.dtype
    assert not found[name].flags.writeable


def test_every_bit_counts():
  whole, contents = packed.pack({"a": np.arange(3, dtype=np.uint8)})
  for bit in range(24):
    array = whole["uint8"].copy()
    array[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="uint8 is damaged: found another dig"):
      packed.unpack({"uint8": array}, contents)


@pytest.mark.parametrize(
  "old, new",
  [('"a"', '"c"'), ("[2, 3]", "[3, 2]"), ("[4]", "[5]"), ('"uint8"', '"int8"')],
)
def test_contents_that_were_changed_are_refused(old, new):
  tree = {"a": np.zeros((2, 3), np.uint8), "b": np.zeros(4, np.uint8)}
  arrays, contents = packed.pack(tree)
  text = json.dumps(contents)
  assert old in text
  with pytest.raises(ValueError, match="found"):
    packed.unpack(arrays, json.loads(text.replace(old, new)))


def test_the_digest_stays_for_ever():
  # Of files that lie on disks.
  _, contents = packed.pack({"a": np.arange(4, dtype=np.float32)})
  assert contents["float32"] == {"leaves": [["a", [4]]], "xxh3_128": _ROW}


def test_what_earlier_versions_saved_has_a_sha_256_for_each_leaf():
  tree = {"a": np.arange(3), "b": {"c": np.zeros(2)}}
  digests = trees.digests({"params": tree})
  found = packed.unpack_fields({"params": tree}, digests)
  assert found == {"params": trees.named_leaves(tree)}
  tree["b"]["c"][1] = 1
  with pytest.raises(ValueError, match="params/b/c is damaged"):
    packed.unpack_fields({"params": tree}, digests)
