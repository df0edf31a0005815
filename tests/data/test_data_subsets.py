"""Tests of choosing from sources."""

import math

import image_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslprune_jax.data import (
  ArraySource,
  DataError,
  Spec,
  hide_labels_except,
  in_memory,
  sample_classes,
  sample_per_class,
  subset,
)
from sslprune_jax.data.encoded import EncodedSource
from sslprune_jax.data.subsets import holdout

label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=80)


class Files(EncodedSource):
  """Grey images, each of the one colour that is its number."""

  def __init__(self, size, *, crops=False):
    spec = Spec("files", "train", workers=2)
    super().__init__(spec, (4, 4, 1), "ab", crops=crops)
    self._size = size

  def __len__(self):
    return self._size

  def _fetch(self, indices):
    return [
      (image_files.png(np.full((4, 4), i, np.uint8)), i % 2) for i in indices
    ]

  def _where(self, index):
    return f"file {index}"


@pytest.fixture(params=[True, False], ids=["arrays", "files"])
def source(request):
  files = Files(50)
  return in_memory(files, 10**6) if request.param else files


def test_a_subset_maps_its_indices(source):
  part = subset(source, np.array([40, 7, 9]))
  rows = part.read(np.array([2, 0]))
  assert rows["image"][:, 0, 0, 0].tolist() == [9, 40]
  assert rows["label"].tolist() == [1, 0]
  assert part.labels.tolist() == [0, 1, 1]
  assert (len(part), part.num_classes, part.class_names) == (3, 2, ("a", "b"))


def test_a_subset_of_a_subset(source):
  part = subset(subset(source, np.array([40, 7, 9])), np.array([2, 1]))
  image = part.read(np.arange(2))["image"]
  assert image[:, 0, 0, 0].tolist() == [9, 7]


def test_a_subset_of_arrays_stays_in_memory():
  arrays = in_memory(Files(5), 10**6)
  assert isinstance(subset(arrays, np.array([1])), ArraySource)


@pytest.mark.parametrize("wrong", [-1, 50])
def test_a_subset_of_images_that_are_not_there_is_refused(source, wrong):
  with pytest.raises(DataError, match=f"found {wrong}, expected 0 to 49"):
    subset(source, np.array([0, wrong]))


@given(label_lists, st.floats(0.01, 1), st.integers(0, 99))
def test_a_fraction_of_every_class(labels, fraction, seed):
  labels = np.array(labels)
  chosen = sample_per_class(labels, fraction, seed)
  assert (np.diff(chosen) > 0).all()
  for label in np.unique(labels):
    expected = max(1, math.floor(fraction * np.sum(labels == label) + 0.5))
    assert np.sum(labels[chosen] == label) == expected


@given(label_lists, st.floats(0.01, 1), st.floats(0.01, 1))
def test_fractions_are_nested(labels, one, other):
  labels = np.array(labels)
  small, large = (sample_per_class(labels, f, 0) for f in sorted([one, other]))
  assert np.isin(small, large).all()


def test_the_images_of_a_fraction_stay_the_same_for_ever():
  # Drawn by the first version, in a loop over the classes.
  labels = np.arange(40) % 3
  assert sample_per_class(labels, 0.2, seed=7).tolist() == [
    1, 7, 8, 13, 15, 23, 24, 27, 35,
  ]  # fmt: skip


def test_fractions_depend_on_the_seed_alone():
  labels = np.arange(1000) % 10
  first = sample_per_class(labels, 0.1, seed=1)
  np.testing.assert_array_equal(first, sample_per_class(labels, 0.1, seed=1))
  assert not np.array_equal(first, sample_per_class(labels, 0.1, seed=2))


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5])
def test_an_impossible_fraction_is_refused(fraction):
  with pytest.raises(DataError, match=f"fraction: found {fraction}"):
    sample_per_class(np.zeros(3, int), fraction, 0)


def test_a_fraction_needs_labels():
  with pytest.raises(DataError, match="needs labels; 2 of 3 images have none"):
    sample_per_class(np.array([-1, 0, -1]), 0.5, 0)


def test_the_holdout_is_a_fifth_of_every_class():
  labels = np.repeat([0, 1], [50, 10])
  train, test = holdout(labels, "train"), holdout(labels, "test")
  assert np.bincount(labels[test]).tolist() == [10, 2]
  np.testing.assert_array_equal(np.union1d(train, test), np.arange(60))
  assert not np.intersect1d(train, test).size


def test_in_memory_is_the_evaluation_view():
  files = Files(30, crops=True)
  arrays, rows = in_memory(files, 480), files.read(np.arange(30))
  np.testing.assert_array_equal(arrays.images, rows["image"])
  np.testing.assert_array_equal(arrays.labels, files.labels)
  assert arrays.class_names == files.class_names
  assert in_memory(arrays, 0) is arrays


@pytest.mark.parametrize(
  ("size", "expected"),
  [(8, [2500]), (100, [1677, 823]), (200, [1024, 1024, 452])],
)
def test_small_images_are_read_by_many(size, expected):
  # A thread's share of few would be fetches, rather than images.
  reads, files = [], Files(2500)
  files.image_shape = (size, size, 1)

  def read(indices):
    reads.append(len(indices))
    image = np.zeros((len(indices), size, size, 1), np.uint8)
    return {"image": image, "label": np.zeros(len(indices), np.int32)}

  files.read = read
  in_memory(files, 10**9)
  assert reads == expected


def test_in_memory_refuses_what_is_too_large():
  with pytest.raises(DataError, match="0.00 GB .* limit_bytes = 479; raise it"):
    in_memory(Files(30), 479)


@given(label_lists, st.floats(0.01, 1), st.integers(0, 9))
def test_all_images_of_some_classes(labels, fraction, seed):
  labels = np.array(labels)
  chosen = sample_classes(labels, fraction, seed)
  classes = set(labels[chosen])
  count = len(set(labels))
  assert len(classes) == max(1, math.floor(fraction * count + 0.5))
  np.testing.assert_array_equal(
    chosen, np.flatnonzero(np.isin(labels, list(classes)))
  )


def test_some_classes_need_labels():
  with pytest.raises(DataError, match="of classes needs labels; 1 of 2"):
    sample_classes(np.array([-1, 0]), 0.5, 0)


def test_all_labels_but_some_are_hidden(source):
  chosen = np.array([3, 40])
  hidden = hide_labels_except(source, chosen)
  assert len(hidden) == len(source)
  np.testing.assert_array_equal(np.flatnonzero(hidden.labels >= 0), chosen)
  rows = hidden.read(np.array([2, 3, 40]))
  plain = source.read(np.array([2, 3, 40]))
  np.testing.assert_array_equal(rows["image"], plain["image"])
  assert rows["label"].tolist() == [-1, *plain["label"][1:]]
