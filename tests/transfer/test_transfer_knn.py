"""Weighted neighbours: NumPy as the reference."""

import jax
import numpy as np
import pytest

from sslprune_jax.runtime import devices
from sslprune_jax.transfer import knn

RNG = np.random.default_rng(0)


def _vote(bank, labels, queries, k, temperature, classes):
  bank = bank / np.linalg.norm(bank, axis=1, keepdims=True)
  queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
  similarity = queries @ bank.T
  answers = []
  for row in similarity:
    near = np.argsort(-row)[:k]
    votes = np.zeros(classes)
    np.add.at(votes, labels[near], np.exp(row[near] / temperature))
    answers.append(votes.argmax())
  return np.array(answers)


@pytest.mark.parametrize("shards", [1, 4])
def test_equals_numpy_over_several_blocks_and_shards(shards):
  bank = RNG.normal(size=(500, 8)).astype(np.float32)
  labels = RNG.integers(0, 5, 500).astype(np.int32)
  labels[RNG.permutation(500)[:60]] = -1  # padding, wherever it lies
  queries = RNG.normal(size=(600, 8)).astype(np.float32)
  found = knn.classify(
    jax.device_put(bank.reshape(shards, -1, 8), devices.split()),
    labels.reshape(shards, -1),
    jax.device_put(queries.reshape(shards, -1, 8), devices.split()),
    neighbours=20,
    temperature=0.07,
    num_classes=5,
  )
  held = labels >= 0
  expected = _vote(bank[held], labels[held], queries, 20, 0.07, 5)
  np.testing.assert_array_equal(found.ravel(), expected)


def test_fewer_images_than_neighbours_are_refused():
  bank = np.ones((1, 8, 2), np.float32)
  labels = np.array([[0, 1, 0, 1, -1, -1, -1, -1]], np.int32)
  with pytest.raises(ValueError, match="found 5, expected at most the 4 train"):
    knn.classify(
      bank, labels, bank, neighbours=5, temperature=0.07, num_classes=2
    )
