"""Tests of sources in memory."""

import numpy as np
import pytest

from sslprune_jax.data import ArraySource, DataError


def images(*shape):
  return np.zeros(shape, np.uint8)


def test_arrays_are_read_in_any_order():
  pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
  source = ArraySource(pixels, np.array([0, 1, 0, 1, 2]))
  rows = source.read(np.array([4, 0, 4]))
  assert rows["image"].ravel().tolist() == [4, 0, 4]
  assert rows["label"].tolist() == [2, 0, 2]
  assert rows["label"].dtype == source.labels.dtype == np.int32
  assert (len(source), source.image_shape) == (5, (1, 1, 1))
  assert source.class_names == ("0", "1", "2") and source.num_classes == 3


def test_arrays_without_labels_are_unlabelled():
  source = ArraySource(images(3, 2, 2, 1))
  assert source.labels.tolist() == [-1, -1, -1]
  assert source.num_classes == 0


@pytest.mark.parametrize(
  ("pixels", "message"),
  [
    (
      [images(2, 2, 3), images(2, 2, 1)],
      r"found shapes \(2, 2, 1\), \(2, 2, 3",
    ),
    (np.zeros((2, 4, 4, 3)), "images: found float64, expected uint8"),
    (
      images(2, 4, 4),
      r"images: found shape \(2, 4, 4\), expected \(N, H, W, 1",
    ),
    (images(2, 4, 4, 2), "images: found shape"),
    (images(0, 4, 4, 3), "images: found shape"),
  ],
)
def test_wrong_images_are_refused(pixels, message):
  with pytest.raises(DataError, match=message):
    ArraySource(pixels)


@pytest.mark.parametrize(
  ("labels", "message"),
  [
    ([3, 12], r"labels: found 12, expected 0 to 9 \(10 classes\)"),
    ([3, -2], "labels: found -2, expected 0 to 9"),
    ([3], r"labels: found int64 of shape \(1,\), expected .* shape \(2,\)"),
    ([0.5, 1.0], "labels: found float64"),
  ],
)
def test_wrong_labels_are_refused(labels, message):
  with pytest.raises(DataError, match=message):
    ArraySource(images(2, 1, 1, 1), np.array(labels), class_names="0123456789")


def test_labels_that_are_words_are_refused():
  with pytest.raises(DataError, match="labels: found <U3 of shape"):
    ArraySource(images(2, 1, 1, 1), np.array(["cat", "dog"]))


def test_images_that_show_several_classes():
  labels = np.array([[1, 0, -1], [0, 1, 1]])
  source = ArraySource(np.zeros((2, 4, 4, 3), np.uint8), labels)
  assert source.multi_label and source.num_classes == 3
  np.testing.assert_array_equal(
    source.read(np.array([1, 0]))["label"], labels[::-1]
  )
  with pytest.raises(DataError, match="labels: found 2, expected 1"):
    ArraySource(np.zeros((2, 4, 4, 3), np.uint8), labels + 1)
