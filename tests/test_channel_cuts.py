"""Tests of what is pruned of channels, with literal scores and masks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax.pruning import channel_cuts, channel_scores
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.channel_cuts import Budget
from sslprune_jax.pruning.channels import Group
from sslprune_jax.pruning.context import Context


def _rows(n, k=1):
  return np.arange(n * k).reshape(k, n).T


# Two layers of 3 and 2 channels, whose images of 2 are flattened for a third.
PARAMS = {
  "trunk": {
    "a": {
      "kernel": np.array([[3.0, 0.0, 4.0]], np.float32),
      "scale": np.array([-1.0, 0.5, 2.0], np.float32),
      "bias": np.array([1.0, 1.0, -1.0], np.float32),
    },
    "b": {"kernel": np.array([[1, 0], [1, 2], [0, 1]], np.float32)},
    "c": {"kernel": np.ones((4, 1), np.float32)},
  },
  "head": {"kernel": np.ones((1, 2), np.float32)},
}
GROUPS = [
  Group(
    3,
    {
      ("params/trunk/a/kernel", 1): _rows(3),
      ("params/trunk/a/scale", 0): _rows(3),
      ("params/trunk/a/bias", 0): _rows(3),
      ("params/trunk/b/kernel", 0): _rows(3),
    },
    {"trunk/a/kernel": 1},
  ),
  Group(
    2,
    {
      ("params/trunk/b/kernel", 1): _rows(2),
      ("params/trunk/c/kernel", 0): _rows(2, 2),
    },
    {"trunk/b/kernel": 1},
  ),
]
ALL = [np.ones(3, bool), np.ones(2, bool)]


def _masks():
  return channel_cuts.widen(masks_lib.dense(PARAMS), PARAMS, GROUPS)


def _context(**more):
  return Context(PARAMS, _masks(), np.random.default_rng(0), **more)


def test_batch_norm_and_biases_of_channels_have_masks_too():
  masks = _masks()
  assert list(masks_lib.prunable(masks)) == [
    *("trunk/a/bias", "trunk/a/kernel", "trunk/a/scale"),
    *("trunk/b/kernel", "trunk/c/kernel"),
  ]
  masks_lib.check(masks, PARAMS)


def test_a_channel_is_masked_in_all_that_writes_and_reads_it():
  kept = [np.array([True, False, True]), np.array([False, True])]
  masks = channel_cuts.cut(_masks(), GROUPS, kept)
  trunk = jax.tree.map(lambda leaf: leaf.astype(int).tolist(), masks["trunk"])
  assert trunk == {
    "a": {"kernel": [[1, 0, 1]], "scale": [1, 0, 1], "bias": [1, 0, 1]},
    "b": {"kernel": [[0, 1], [0, 0], [0, 1]]},
    "c": {"kernel": [[0], [1], [0], [1]]},
  }
  for found, expected in zip(
    channel_cuts.remaining(masks, GROUPS), kept, strict=True
  ):
    np.testing.assert_array_equal(found, expected)
  # What is pruned stays pruned.
  again = channel_cuts.cut(masks, GROUPS, ALL)
  jax.tree.map(np.testing.assert_array_equal, again, masks)


def test_a_channel_of_which_one_weight_is_left_remains():
  masks = _masks()
  for name in ("kernel", "scale", "bias"):
    masks["trunk"]["a"][name][..., 1] = False
  masks["trunk"]["b"]["kernel"][1] = [False, True]
  assert channel_cuts.remaining(masks, GROUPS)[0].all()
  masks["trunk"]["b"]["kernel"][1] = False
  assert channel_cuts.remaining(masks, GROUPS)[0].tolist() == [1, 0, 1]


def test_multiply_adds_are_counted_by_widths():
  uses = {"trunk/a/kernel": 10, "trunk/b/kernel": 5, "trunk/c/kernel": 1}
  cost = channel_cuts.multiply_adds(GROUPS, _masks(), uses)
  assert cost([3, 2]) == 10 * 3 + 5 * 6 + 4
  assert cost([2, 1]) == 10 * 2 + 5 * 2 + 2


def test_widths_of_what_may_not_be_cut_need_be_no_multiples():
  budget = channel_cuts.Budget(sum, 2, [False, True])
  wide = [dataclasses.replace(group, size=4) for group in GROUPS]
  budget.check(wide, [3, 2])
  with pytest.raises(ValueError, match="found 2, expected a divisor of the 3"):
    budget.check(wide, [3, 3])


def test_what_no_batch_norm_follows_has_no_such_score():
  assert [channel_scores.has_scales(group) for group in GROUPS] == [True, False]
  _, without = channel_scores.scales(_context(), GROUPS, ALL)
  assert without.tolist() == [0, 0]


def test_norms_are_of_all_that_goes_with_a_channel_each_layer_normalised():
  found = channel_scores.norms(_context(), GROUPS, ALL)
  # Squares 9, 0, 16 of mean 25/3; rows of b: 1, 5, 1 of mean 7/3.
  a = np.array([9, 0, 16]) / (25 / 3)
  b = np.array([1, 5, 1]) / (7 / 3)
  np.testing.assert_allclose(found[0], np.sqrt((a + b) / 2))
  # Columns of b: 2, 5; of c two rows each: 2, 2.
  np.testing.assert_allclose(
    found[1], np.sqrt([(4 / 7 + 1) / 2, (10 / 7 + 1) / 2])
  )
  lives = [np.array([True, True, False]), ALL[1]]
  found = channel_scores.norms(_context(), GROUPS, lives)
  a, b = np.array([9, 0]) / 4.5, np.array([1, 5]) / 3
  np.testing.assert_allclose(found[0][:2], np.sqrt((a + b) / 2))


def test_scales_are_those_of_batch_norm():
  (found,) = channel_scores.scales(_context(), GROUPS[:1], ALL[:1])
  np.testing.assert_array_equal(found, [1, 0.5, 2])


def test_taylor_squares_the_gradient_of_a_gate_a_batch_and_then_averages():
  def loss(params, batch, gate=1.0):
    a, b, c = (params["trunk"][name] for name in "abc")
    x = gate * (batch @ a["kernel"] * a["scale"][None] + a["bias"][None])
    x = jnp.tile(jnp.tanh(x) @ b["kernel"], (1, 2))
    return jnp.sum(x @ c["kernel"]) ** 2

  batches = [np.full((1, 1), x, np.float32) for x in (0.1, -0.7)]
  context = _context(loss=loss, batches=batches)
  (found,) = channel_scores.taylor(context, GROUPS[:1], ALL[:1])
  changes = [
    jax.grad(loss, 2)(PARAMS, batch, jnp.ones((1, 3)))[0] for batch in batches
  ]
  expected = np.square(changes).mean(0)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert abs(expected - np.square(np.mean(changes, 0))).max() > 0.01
  # Without batch norm, of what the layer gives out.
  found = channel_scores.taylor(
    _context(loss=loss, batches=batches[:1]), GROUPS, ALL
  )
  kernel = PARAMS["trunk"]["b"]["kernel"]
  gradient = jax.grad(loss)(PARAMS, batches[0])["trunk"]["b"]["kernel"]
  expected = (kernel * gradient).sum(0) ** 2
  np.testing.assert_allclose(found[1], expected, rtol=1e-5)


def test_taylor_needs_a_batch():
  with pytest.raises(ValueError, match="batches: found none"):
    channel_scores.taylor(_context(loss=lambda p, b: 0.0), GROUPS, ALL)


def _group(size, name):
  return Group(size, {}, {f"trunk/{name}/kernel": 3})


def _budget(multiple=2, cost=sum, cuttable=(True, True)):
  return Budget(lambda widths: int(cost(widths)), multiple, cuttable)


def _choose(sizes, scores, most, budget, seed=0):
  groups = [_group(n, name) for n, name in zip(sizes, "ab", strict=True)]
  scores = [np.array(score, float) for score in scores]
  lives = [np.ones(n, bool) for n in sizes]
  rng = np.random.default_rng(seed)
  kept = channel_cuts.choose(groups, scores, lives, budget, most, rng)
  return [np.flatnonzero(keep).tolist() for keep in kept]


def test_blocks_of_the_lowest_mean_go_until_it_is_enough():
  scores = [[1, 9, 2, 9, 9, 9], [0, 5, 9]]  # Blocks: 1.5; one by one 0, 5.
  found = [_choose((6, 3), scores, most, _budget()) for most in (9, 8, 7, 6, 5)]
  assert found == [
    [[0, 1, 2, 3, 4, 5], [0, 1, 2]],
    [[0, 1, 2, 3, 4, 5], [1, 2]],
    [[1, 3, 4, 5], [1, 2]],  # 6, which is less than 7 by less than a block.
    [[1, 3, 4, 5], [1, 2]],
    [[1, 3, 4, 5], [2]],
  ]


def test_a_group_keeps_a_tenth_in_whole_blocks():
  scores = [np.arange(24), 1000 + np.arange(24)]
  found = _choose((24, 24), scores, 24, _budget(8))
  assert [len(kept) for kept in found] == [8, 16]
  with pytest.raises(ValueError, match="found 15 of 48.*at least 16: a layer"):
    _choose((24, 24), scores, 15, _budget(8))
  found = _choose((11, 2), [np.arange(11), [99, 99]], 4, _budget(8))
  assert [len(kept) for kept in found] == [2, 2]  # 1.1, up.


def test_what_may_not_be_cut_stays_and_counts():
  budget = _budget(1, cuttable=(False, True))
  found = _choose((3, 4), [[0, 0, 0], [3, 1, 2, 4]], 5, budget)
  assert found == [[0, 1, 2], [0, 3]]
  with pytest.raises(ValueError, match="found 3 of 7.*at least 4"):
    _choose((3, 4), [[0, 0, 0], [3, 1, 2, 4]], 3, budget)


def test_a_cost_is_met_by_the_fewest_blocks():
  found = _choose((3, 3), [[1, 2, 3]] * 2, 4, _budget(1, cost=np.prod))
  assert [len(kept) for kept in found] == [2, 2]


def test_equal_scores_are_drawn_by_the_seed():
  found = [
    _choose((4, 4), np.zeros((2, 4)), 4, _budget(1), s) for s in range(9)
  ]
  assert len({str(kept) for kept in found}) > 4
  assert {len(a) for a, _ in found} > {2}, "of all groups together"
  assert found[0] == _choose((4, 4), np.zeros((2, 4)), 4, _budget(1), 0)


def test_a_width_that_is_no_multiple_is_named():
  with pytest.raises(
    ValueError, match="found 8, .* the 20 channels of trunk/a"
  ):
    _choose((20, 4), [np.zeros(20), np.zeros(4)], 9, _budget(8))


def test_a_score_that_is_no_number_is_named():
  with pytest.raises(ValueError, match="scores of trunk/b/kernel: found NaN"):
    _choose((2, 2), [[0, 0], [np.nan, 0]], 3, _budget(1))
