"""Tests of mask trees."""

import chex
import flax
import jax
import numpy as np
import pytest

from sslprune_jax.pruning import magnitude, sparsity
from sslprune_jax.pruning import masks as masks_lib

PARAMS = {
  "trunk": {
    "conv": {"kernel": np.ones((1, 1, 2, 3), np.float32)},
    "bn": {"scale": np.ones(3, np.float32), "bias": np.ones(3, np.float32)},
    "fc": {
      "kernel": np.ones((3, 2), np.float32),
      "bias": np.ones(2, np.float32),
    },
  },
  "head": {
    "kernel": np.ones((2, 5), np.float32),
    "bias": np.ones(5, np.float32),
  },
}


def _some_masks():
  masks = masks_lib.dense(PARAMS)
  masks["trunk"]["conv"]["kernel"][..., 0] = False
  masks["trunk"]["fc"]["kernel"][1, 1] = False
  return masks


def test_only_kernels_of_the_trunk_are_prunable():
  masks = masks_lib.dense(PARAMS)
  assert list(masks_lib.prunable(masks)) == [
    "trunk/conv/kernel",
    "trunk/fc/kernel",
  ]
  assert jax.tree.structure(masks) == jax.tree.structure(PARAMS)
  assert masks["head"]["kernel"].shape == ()


def test_nothing_prunable_is_an_error():
  with pytest.raises(ValueError, match="no prunable weight"):
    masks_lib.dense({"head": PARAMS["head"]})


def _is_kernel(name):
  return name.endswith("kernel")


def test_any_tree_can_be_masked_and_says_by_its_shapes_what_is_prunable():
  params = flax.core.freeze(
    {
      "Dense_0": {"kernel": np.full((3, 2), 2, np.float32), "bias": np.ones(2)},
      "layers": [{"kernel": np.full(3, 3, np.float32)}],
    }
  )
  masks = masks_lib.dense(params, _is_kernel)
  assert [*masks_lib.prunable(masks)] == ["Dense_0/kernel", "layers/0/kernel"]
  scores = magnitude.score("magnitude", params, masks)
  pruned = magnitude.prune(scores, masks, 0.5, np.random.default_rng(0))
  assert jax.tree.structure(pruned) == jax.tree.structure(params)
  assert masks_lib.count(pruned) == (5, 9)  # 4.5, half up
  masks_lib.check(pruned, params)
  masked = masks_lib.apply(pruned, params)
  masks_lib.check_pruned(pruned, masked)
  assert sum((leaf != 0).sum() for leaf in jax.tree.leaves(masked)) == 5 + 2
  again = masks_lib.unpack(masks_lib.pack(pruned), params)
  chex.assert_trees_all_equal(again, pruned)


def test_a_scalar_cannot_be_prunable():
  with pytest.raises(ValueError, match="temperature: found a prunable scalar"):
    masks_lib.dense({"temperature": np.float32(1)}, lambda name: True)


def test_bits_that_do_not_fit_are_refused():
  packed = masks_lib.pack(_some_masks())
  with pytest.raises(ValueError, match="mask of head/x: found no such param"):
    masks_lib.unpack({**packed, "head/x": packed["trunk/fc/kernel"]}, PARAMS)
  long = {**packed, "trunk/fc/kernel": np.zeros(2, np.uint8)}
  with pytest.raises(ValueError, match="fc/kernel: found 2 bytes, expected 1"):
    masks_lib.unpack(long, PARAMS)


def test_counts_are_of_prunable_weights():
  masks = _some_masks()
  assert masks_lib.count(masks) == (9, 12)
  assert masks_lib.density(masks) == 0.75


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_apply_zeroes_even_what_is_not_finite(wrap):
  tree = jax.tree.map(lambda x: x * np.float32(np.nan), PARAMS)
  masked = wrap(masks_lib.apply)(_some_masks(), tree)
  conv = np.asarray(masked["trunk"]["conv"]["kernel"])
  assert conv.dtype == np.float32
  np.testing.assert_array_equal(conv[..., 0], 0)
  assert np.isnan(conv[..., 1:]).all()
  assert np.isnan(masked["head"]["kernel"]).all()


def test_check_names_what_differs():
  masks = masks_lib.dense(PARAMS)
  masks["trunk"]["fc"]["kernel"] = np.ones((2, 3), bool)
  with pytest.raises(ValueError, match=r"trunk/fc/kernel.*\(2, 3\).*\(3, 2\)"):
    masks_lib.check(masks, PARAMS)
  del masks["trunk"]["fc"]["kernel"]
  with pytest.raises(ValueError, match="trunk/fc/kernel: found nothing"):
    masks_lib.check(masks, PARAMS)


def test_report_counts_every_parameter_once():
  uses = {"trunk/fc/kernel": 1, "trunk/conv/kernel": 49}
  report = sparsity.report(_some_masks(), PARAMS, uses)
  assert report["layers"] == [
    {
      "path": "trunk/fc/kernel",
      "shape": [3, 2],
      "total": 6,
      "kept": 5,
      "uses": 1,
      "dead_outputs": 0,
    },
    {
      "path": "trunk/conv/kernel",
      "shape": [1, 1, 2, 3],
      "total": 6,
      "kept": 4,
      "uses": 49,
      "dead_outputs": 1,
    },
  ]
  excluded = sum(entry["size"] for entry in report["excluded"])
  assert report["prunable"] + excluded == report["parameters"] == 35
  reasons = {e["path"]: e["reason"] for e in report["excluded"]}
  assert reasons["head/kernel"] == "head"
  assert reasons["trunk/bn/scale"] == "scale"


def test_masks_survive_packing():
  masks = _some_masks()
  packed = masks_lib.pack(masks)
  assert packed["trunk/conv/kernel"].nbytes == 1
  again = masks_lib.unpack(packed, PARAMS)
  chex.assert_trees_all_equal(again, masks)


def test_the_overlap_of_random_masks_is_its_expectation():
  params = {
    "trunk": {
      "a": {"kernel": np.zeros((20, 30), np.float32)},
      "b": {"kernel": np.zeros((3, 3, 8, 9), np.float32)},
    }
  }
  rng = np.random.default_rng(0)

  def drawn(count):
    masks = masks_lib.dense(params)
    for layer in masks["trunk"].values():
      kept = np.arange(layer["kernel"].size) < count
      layer["kernel"][:] = rng.permutation(kept).reshape(layer["kernel"].shape)
    return masks

  draws = 400
  both = np.zeros(2)
  for _ in range(draws):
    layers = sparsity.overlap(drawn(90), drawn(210))
    both += [layer["both"] for layer in layers]
  for mean, layer in zip(both / draws, layers, strict=True):
    n, a, b = layer["total"], layer["a"], layer["b"]
    assert (a, b) == (90, 210)
    variance = a * b * (n - a) * (n - b) / (n**2 * (n - 1))
    assert abs(mean - a * b / n) < 4 * (variance / draws) ** 0.5


def test_the_overlap_of_literal_masks():
  def masks(*bits):
    return {"trunk": {"a": {"kernel": np.array(bits, bool)}}}

  (layer,) = sparsity.overlap(masks(1, 1, 0, 0), masks(0, 1, 1, 1))
  assert layer == {
    "path": "trunk/a/kernel",
    "total": 4,
    "a": 2,
    "b": 3,
    "both": 1,
  }
  with pytest.raises(ValueError, match="trunk/a/kernel"):
    sparsity.overlap(masks(1, 1), masks(1, 0, 1))
