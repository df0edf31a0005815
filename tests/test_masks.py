"""Tests of mask trees."""

import jax
import numpy as np
import pytest

from sslprune_jax import masks as masks_lib

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
  order = ["trunk/fc/kernel", "trunk/conv/kernel"]
  report = masks_lib.report(_some_masks(), PARAMS, order)
  assert report["layers"] == [
    {
      "path": "trunk/fc/kernel",
      "shape": [3, 2],
      "total": 6,
      "kept": 5,
      "dead_outputs": 0,
    },
    {
      "path": "trunk/conv/kernel",
      "shape": [1, 1, 2, 3],
      "total": 6,
      "kept": 4,
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
  jax.tree.map(np.testing.assert_array_equal, again, masks)
