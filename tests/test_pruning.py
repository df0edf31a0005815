"""Tests of pruning: exact counts, ties, nestedness, scopes."""

import math
import tracemalloc

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslprune_jax.pruning import counts, magnitude
from sslprune_jax.pruning import masks as masks_lib


def _params(seed=0, zeros=0.0):
  rng = np.random.default_rng(seed)

  def kernel(*shape):
    values = rng.normal(size=shape).astype(np.float32)
    return np.where(rng.random(shape) < zeros, 0, values).astype(np.float32)

  return {
    "trunk": {
      "a": {"kernel": kernel(3, 3, 4, 8), "bias": kernel(8)},
      "b": {"kernel": 10 * kernel(40, 10)},
    },
    "head": {"kernel": kernel(10, 5)},
  }


def _prune(params, masks, *args, **kwargs):
  scores = magnitude.score("magnitude", params, masks)
  return magnitude.prune(scores, masks, *args, **kwargs)


def _rng(seed=0):
  return np.random.default_rng(seed)


def test_literal_weights_give_literal_masks():
  params = {
    "trunk": {
      "a": {"kernel": np.float32([[-5, 1], [2, -4]])},
      "b": {"kernel": np.float32([[0.5, -3]])},
    },
    "head": {"kernel": np.float32([[0.0]])},
  }
  masks = _prune(params, masks_lib.dense(params), 0.5, _rng())
  np.testing.assert_array_equal(
    masks["trunk"]["a"]["kernel"], [[True, False], [False, True]]
  )
  np.testing.assert_array_equal(masks["trunk"]["b"]["kernel"], [[False, True]])
  assert masks["head"]["kernel"] == np.True_


def test_a_density_is_of_all_weights_and_stays_within_the_masks():
  params = _params()
  scores = magnitude.score("magnitude", params, masks_lib.dense(params))
  at = {
    density: magnitude.prune_to(
      scores, masks_lib.dense(params), density, _rng()
    )
    for density in (0.5, 0.1, 0.013)
  }
  size = 3 * 3 * 4 * 8 + 400
  for density, found in at.items():
    assert masks_lib.count(found)[0] == counts.share_of(size, density)
  jax.tree.map(
    lambda small, large: np.testing.assert_array_equal(small & large, small),
    at[0.1],
    at[0.5],
  )
  dense = masks_lib.dense(params)
  one = magnitude.prune_to(scores, dense, 0.1, _rng(), scope="layer")
  kept = [np.count_nonzero(m) for m in masks_lib.prunable(one).values()]
  assert kept == [29, 40]  # 28.8 of 288, and 40 of 400
  again = magnitude.score("magnitude", params, at[0.5])
  with pytest.raises(ValueError, match="found 0.6, which is 413 weights, exp"):
    magnitude.prune_to(again, at[0.5], 0.6, _rng())
  with pytest.raises(ValueError, match="0.0001 leaves no weight at all"):
    magnitude.prune_to(again, at[0.5], 0.0001, _rng())


def test_scores_of_any_sign_are_ranked():
  params = {"trunk": {"a": {"kernel": np.float32([[-5, 0, 2], [-1, 2, 2]])}}}
  dense = masks_lib.dense(params)
  for keep, least in ((5, -1), (4, 0)):
    masks = magnitude.prune(params, dense, (6 - keep) / 6, _rng())
    np.testing.assert_array_equal(
      masks["trunk"]["a"]["kernel"], params["trunk"]["a"]["kernel"] >= least
    )
  masks = magnitude.prune(params, dense, 4 / 6, _rng())
  assert masks["trunk"]["a"]["kernel"].sum() == 2
  assert (params["trunk"]["a"]["kernel"][masks["trunk"]["a"]["kernel"]]).all()


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_scores_that_rank_too_few_or_what_is_pruned_are_refused(bad):
  params = _params()
  masks = masks_lib.dense(params)
  scores = magnitude.score("magnitude", params, masks)
  masks["trunk"]["b"]["kernel"][0, 0] = False
  with pytest.raises(
    ValueError, match="b/kernel: found 400 above .* expected 399"
  ):
    magnitude.prune(scores, masks, 0.2, _rng())
  scores["trunk"]["b"]["kernel"][0] = bad
  with pytest.raises(
    ValueError, match="b/kernel: found 390 above .* expected 399"
  ):
    magnitude.prune(scores, masks, 0.2, _rng())


def test_unknown_criteria_and_scopes_are_refused():
  params = _params()
  masks = masks_lib.dense(params)
  with pytest.raises(ValueError, match="criterion: found 'l1', expected one"):
    magnitude.score("l1", params, masks)
  with pytest.raises(ValueError, match="scope: found 'block', expected one of"):
    _prune(params, masks, 0.2, _rng(), scope="block")


def test_remaining_is_exact_where_float32_is_not():
  # In float32 this is 20_000_002.
  assert counts.remaining_after(25_000_001, 0.2) == 20_000_001
  assert counts.remaining_after(10, 0.25) == 8  # 7.5, half up
  assert counts.remaining_after(2, 0.5) == 1


@settings(max_examples=30, deadline=None)
@given(
  rate=st.floats(0.01, 0.6),
  zeros=st.sampled_from([0.0, 0.5, 0.8]),
  seed=st.integers(0, 1000),
)
def test_rounds_are_nested_and_of_exact_density(rate, zeros, seed):
  params = _params(seed, zeros)
  masks = masks_lib.dense(params)
  total = masks_lib.count(masks)[1]
  kept = total
  for index in range(1, 6):
    before = masks
    masks = _prune(params, masks, rate, _rng(seed))
    nested = jax.tree.map(lambda old, new: (new <= old).all(), before, masks)
    assert all(jax.tree.leaves(nested))
    kept = counts.remaining_after(kept, rate)
    assert masks_lib.count(masks) == (kept, total)
    assert abs(kept / total - (1 - rate) ** index) <= index / total


def test_ties_are_drawn_by_the_generator_alone():
  params = _params(zeros=0.8)
  dense = masks_lib.dense(params)
  first, again, other = (
    _prune(params, dense, 0.2, _rng(seed)) for seed in (1, 1, 2)
  )
  chex.assert_trees_all_equal(first, again)
  leaves = zip(jax.tree.leaves(first), jax.tree.leaves(other), strict=True)
  assert any((a != b).any() for a, b in leaves)
  # No region of the zeros is preferred: both ends lose about a fourth of them.
  kernel = params["trunk"]["b"]["kernel"]
  kept = first["trunk"]["b"]["kernel"][kernel == 0]
  half = kept.size // 2
  assert abs(kept[:half].mean() - kept[half:].mean()) < 0.15


@pytest.mark.parametrize("lay", [np.asfortranarray, jnp.asarray])
def test_ties_are_exact_however_arrays_lie_in_memory(lay):
  # As PyTorch's kernels do, transposed, or JAX's, which are not written to.
  kernel = _params(zeros=0.8)["trunk"]["b"]["kernel"]
  scores = np.where(kernel == 0, 0, np.abs(kernel))
  masks = {"kernel": np.ones(kernel.shape, bool)}
  plain, found = (
    magnitude.prune({"kernel": own}, masks, 0.2, _rng())["kernel"]
    for own in (scores, lay(scores))
  )
  assert found.sum() == 320
  np.testing.assert_array_equal(found, plain)


def test_what_is_pruned_never_returns_whatever_its_value():
  params = _params()
  masks = masks_lib.dense(params)
  masks["trunk"]["b"]["kernel"][0] = False
  params["trunk"]["b"]["kernel"][0] = 1e9
  pruned = _prune(params, masks, 0.2, _rng())
  assert not pruned["trunk"]["b"]["kernel"][0].any()


def test_layer_scope_prunes_the_rate_of_each():
  masks = _prune(
    params := _params(), masks_lib.dense(params), 0.25, _rng(), scope="layer"
  )
  assert masks["trunk"]["a"]["kernel"].sum() == 216
  assert masks["trunk"]["b"]["kernel"].sum() == 300


def test_layers_that_are_not_named_are_left_alone():
  params = _params()
  dense = masks_lib.dense(params)
  dense["trunk"]["b"]["kernel"][3] = False
  masks = _prune(params, dense, 0.5, _rng(), layers=["trunk/a/kernel"])
  np.testing.assert_array_equal(
    masks["trunk"]["b"]["kernel"], dense["trunk"]["b"]["kernel"]
  )
  assert masks["trunk"]["a"]["kernel"].sum() == 144
  with pytest.raises(ValueError, match="trunk/z/kernel"):
    _prune(params, dense, 0.5, _rng(), layers=["trunk/z/kernel"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_refuse_to_be_pruned(bad):
  params = _params()
  params["trunk"]["a"]["kernel"][0, 0, 0, 0] = bad
  masks = masks_lib.dense(params)
  with pytest.raises(ValueError, match="trunk/a/kernel: found 1 NaN or inf"):
    _prune(params, masks, 0.2, _rng())
  masks["trunk"]["a"]["kernel"][0, 0, 0, 0] = False  # Pruned: no matter.
  _prune(params, masks, 0.2, _rng())


def test_pruning_everything_is_refused():
  params = {"trunk": {"a": {"kernel": np.ones((1, 2), np.float32)}}}
  with pytest.raises(ValueError, match="leaves no weight"):
    _prune(params, masks_lib.dense(params), 0.9, _rng())


def test_a_collapsed_layer_stays_collapsed_and_the_others_go_on():
  params = _params()
  masks = masks_lib.dense(params)
  masks["trunk"]["a"]["kernel"][:] = False
  masks = _prune(params, masks, 0.5, _rng(), scope="layer")
  assert masks_lib.count(masks)[0] == 200


def test_memory_is_two_copies_of_the_scores_and_the_new_masks():
  kernel = np.random.default_rng(0).standard_normal(1_000_000, np.float32)
  params = {"trunk": {"conv": {"kernel": kernel}}}
  dense = masks_lib.dense(params)
  tracemalloc.start()
  try:
    _prune(params, dense, 0.8, np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 1.05 * (2 * kernel.nbytes + kernel.size)
