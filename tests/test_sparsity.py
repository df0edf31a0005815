"""Natural sparsity: literal weights, literal counts."""

import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import sparsity

_PARAMS = {
  "trunk": {
    "a": {
      "kernel": np.float32([[0, 1e-9, 1e-7, 1e-6], [-1e-5, 0.012, -0.5, 3]]),
      "bias": np.zeros(4, np.float32),
    },
    "b": {"kernel": np.float32([[-1e-13, 20]])},
  },
  "head": {"kernel": np.zeros((2, 2), np.float32)},
}


def test_weights_are_counted_by_three_thresholds():
  found = sparsity.magnitudes(_PARAMS, masks_lib.dense(_PARAMS))
  assert found["remaining"] == 10
  counts = {name: of["count"] for name, of in found["at_most"].items()}
  assert counts == {"zero": 1, "machine_precision": 4, "1e-5": 6}
  assert [layer["at_most"]["1e-5"] for layer in found["layers"]] == [5, 1]


def test_the_histogram_counts_every_weight_once():
  found = sparsity.magnitudes(_PARAMS, masks_lib.dense(_PARAMS))
  histogram = found["histogram"]
  edges, counts = histogram["exponents"], histogram["counts"]
  assert (histogram["below"], histogram["beyond"]) == (2, 1)
  assert sum(counts) == 7
  assert counts[edges.index(-2)] == 1  # 0.012, between 0.01 and 0.018
  assert len(edges) == len(counts) + 1


def test_what_is_pruned_is_neither_counted_nor_alive():
  masks = masks_lib.dense(_PARAMS)
  masks["trunk"]["a"]["kernel"][0] = False
  found = sparsity.magnitudes(_PARAMS, masks)
  assert found["remaining"] == 6
  assert found["at_most"]["zero"]["count"] == 0
  alive = sparsity.nonzero_masks(_PARAMS, masks, 1e-5)
  np.testing.assert_array_equal(
    alive["trunk"]["a"]["kernel"], [[0, 0, 0, 0], [0, 1, 1, 1]]
  )
  masks_lib.check(alive, _PARAMS)
