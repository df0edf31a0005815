"""What public functions say of arrays of a wrong rank, type or shape."""

import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax.features import clustering, kmeans, layout, neighbours, pca
from sslprune_jax.pruning import controls, magnitude, sparsity
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.transfer import knn, linear, precision, svm
from sslprune_jax.transfer.target import to_multi_hot

_TREE = {"trunk": {"a": {"kernel": np.ones((3, 2), np.float32)}}}
_FLAT = {"trunk": {"a": {"kernel": np.ones(6, np.float32)}}}
_WIDE = {"trunk": {"a": {"kernel": np.ones((3, 1), np.float32)}}}
_MASKS = masks_lib.dense(_TREE)
_RNG = np.random.default_rng(0)
_HEAD = {"head": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}}
_CLASSIFIER = linear.Classifier(_HEAD, np.zeros(2), np.ones(2))
_BANK = {"neighbours": 1, "temperature": 0.1, "num_classes": 2}


def ones(*shape, dtype=np.float32):
  return np.ones(shape, dtype)


@pytest.mark.parametrize(
  ("called", "message"),
  [
    (lambda: masks_lib.apply(_MASKS, _WIDE), r"equal_shape.*\(3, 1\)"),
    (lambda: masks_lib.apply(_TREE, _TREE), "assert_type.*float32.*bool"),
    (lambda: masks_lib.check_pruned(_MASKS, _FLAT), r"equal_shape.*\(6,\)"),
    (
      lambda: masks_lib.unpack({"trunk/a/kernel": ones(1, 1)}, _TREE),
      "rank 2.*expected 1",
    ),
    (lambda: magnitude.score("magnitude", _FLAT, _MASKS), r"shape.*\(6,\)"),
    (lambda: magnitude.prune(_FLAT, _MASKS, 0.5, _RNG), r"shape.*\(6,\)"),
    (
      lambda: controls.adjust(_MASKS, masks_lib.dense(_FLAT), _RNG),
      r"shape.*\(6,\)",
    ),
    (lambda: sparsity.nonzero_masks(_FLAT, _MASKS, 0.1), r"shape.*\(6,\)"),
    (lambda: sparsity.magnitudes(_FLAT, _MASKS), r"shape.*\(6,\)"),
    (lambda: neighbours.unit(ones(3)), "rank 1.*expected 2"),
    (
      lambda: neighbours.similarities(ones(3, 2), ones(2)),
      "rank 1.*expected 2",
    ),
    (
      lambda: neighbours.nearest(
        ones(2), ones(3, 2), ones(3, dtype=bool), ones(3), 1
      ),
      "rank 1.*expected 2",
    ),
    (
      lambda: neighbours.nearest(
        ones(1, 2), ones(3, 2), ones(4, dtype=bool), ones(4), 1
      ),
      "prefix",
    ),
    (
      lambda: neighbours.vote(ones(3), ones(3, dtype=int), 0.1, 2),
      "rank 1.*expected 2",
    ),
    (lambda: layout.lay_out(ones(3)), "rank 1.*expected 2"),
    (lambda: clustering.flat(ones(3), 3), "rank 1.*expected 2"),
    (lambda: layout.dot(ones(1, 1, 1), ones(1, 1)), "rank 3.*expected"),
    (
      lambda: layout.read(0, 1, ones(3), ones(3)),
      "rank 1.*expected 2",
    ),
    (lambda: pca.fit_pca(ones(3, 2), ones(3), 1), "rank 2.*expected 3"),
    (
      lambda: pca.project(ones(3, 2), pca.Projection(ones(2), ones(2, 1))),
      "rank 2.*expected 3",
    ),
    (
      lambda: kmeans.kmeans(ones(3, 2), ones(3), 1, None),
      "rank 2.*expected 3",
    ),
    (
      lambda: kmeans.kmeans(ones(1, 3, 2), ones(1, 4), 1, None),
      "prefix",
    ),
    (
      lambda: knn.classify(ones(3, 2), ones(3), ones(1, 3, 2), **_BANK),
      "rank 2.*expected 3",
    ),
    (
      lambda: knn.classify(ones(1, 3, 2), ones(1, 3), ones(1, 3, 4), **_BANK),
      "suffix",
    ),
    (
      lambda: linear.create(ones(3, 2), ones(3, dtype=int), 2),
      "rank 2.*expected 3",
    ),
    (
      lambda: linear.loss(_HEAD, ones(3, 2), ones(3, 1, dtype=int)),
      "rank 2.*expected 1",
    ),
    (
      lambda: linear.accuracy(_CLASSIFIER, ones(3, 2), ones(3, dtype=int)),
      "rank 2.*expected 3",
    ),
    (lambda: _CLASSIFIER.logits(jnp.ones(2)), "rank 1.*expected 2"),
    (
      lambda: precision.average_precision(ones(3, 1), ones(3)),
      "rank 2.*expected 1",
    ),
    (
      lambda: precision.of_classes(ones(3), ones(3), ["a"]),
      "rank 1.*expected 2",
    ),
    (lambda: svm.fit(ones(3, 2), ones(3), ["a"], (1.0,)), "rank 1.*expected 2"),
    (lambda: svm.check(ones(3), ["a"]), "rank 1.*expected 2"),
    (lambda: to_multi_hot(ones(1, 1, 1), ["a"]), "rank 3.*expected"),
  ],
)
def test_a_wrong_array_is_named_at_the_door(called, message):
  with pytest.raises(AssertionError, match=f"(?s){message}"):
    called()
