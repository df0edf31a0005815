"""Tests of loading by name."""

import collections
import dataclasses

import numpy as np
import pytest
import sklearn.datasets
from image_files import photo, png

from sslprune_jax import config as config_lib
from sslprune_jax.data import ArraySource, DataError, Spec, load


def test_digits_are_split_once_and_for_all():
  train, test = load(Spec("digits", "train")), load(Spec("digits", "test"))
  assert (len(train), len(test)) == (1438, 359)
  assert train.image_shape == (8, 8, 1) and train.num_classes == 10
  digits = sklearn.datasets.load_digits()
  both = np.concatenate([train.images, test.images])[..., 0]
  expected = np.rint(digits.images / 16 * 255)
  assert sorted(map(bytes, both)) == sorted(
    map(bytes, expected.astype(np.uint8))
  )
  assert both.max() == 255 and both.min() == 0
  assert test.labels[:12].tolist() == GOLDEN
  share = np.bincount(test.labels) / np.bincount(digits.target)
  np.testing.assert_allclose(share, 0.2, atol=0.003)


GOLDEN = [2, 5, 7, 5, 7, 9, 4, 6, 8, 9, 3, 3]


def test_half_of_the_digits_are_tested_on_those_of_the_fifth_among_them():
  train, test = (load(Spec("digits_half", s)) for s in ("train", "test"))
  assert (len(train), len(test)) == (896, 901)
  assert np.abs(np.bincount(test.labels) - np.bincount(train.labels)).max() <= 1

  def images(source):
    return [image.tobytes() for image in source.images]

  fifth = images(load(Spec("digits", "test")))
  assert not collections.Counter(fifth) - collections.Counter(images(test))
  whole = [*images(load(Spec("digits", "train"))), *fifth]
  assert sorted(images(train) + images(test)) == sorted(whole)


def test_digits_are_sliced_as_tfds_slices():
  whole = load(Spec("digits", "train"))
  first, last = (
    load(Spec("digits", split)) for split in ("train[:80%]", "train[80%:]")
  )
  np.testing.assert_array_equal(
    np.concatenate([first.images, last.images]), whole.images
  )
  assert len(last) == len(whole) - round(0.8 * len(whole))
  few = load(Spec("digits", "test[10:30]"))
  assert len(few) == 20 and few.split == "test[10:30]"
  assert len(load(Spec("digits", "test[:]"))) == 359
  with pytest.raises(DataError, match=r"found test.9:9., which is empty"):
    load(Spec("digits", "test[9:9]"))


def test_digits_in_three_channels():
  source = load(Spec("digits", "test", channels=3))
  assert source.image_shape == (8, 8, 3)
  assert np.ptp(source.images, axis=-1).max() == 0


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"name": "digits", "split": "val"}, "split: found val, expected train or"),
    ({"name": "digits", "channels": 2}, "channels: found 2, expected 1 or 3"),
    ({"name": "folder", "image_size": 9}, "data_dir: found none, expected one"),
    ({"name": "folder", "data_dir": "x"}, "image_size: found none, expected o"),
  ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
  with pytest.raises(DataError, match=message):
    load(Spec(**({"split": "train"} | settings)))


def test_digits_are_enlarged():
  small, large = (load(Spec("digits", "test", image_size=n)) for n in (8, 28))
  assert large.image_shape == (28, 28, 1)
  np.testing.assert_array_equal(small.labels, large.labels)
  middle = large.images[:, 1::7, 1::7][:, :4, :4]  # of 3.5 x 3.5 pixels
  assert (
    np.corrcoef(middle.ravel(), small.images[:, ::2, ::2].ravel())[0, 1] > 0.9
  )


def test_a_section_of_a_configuration_is_a_spec():
  section = config_lib.dataset("voc2007")
  assert Spec.from_config(section, section.train, whole=True) == Spec(
    "voc/2007",
    "train+validation",
    data_dir=None,
    image_size=224,
    channels=3,
    workers=16,
    whole=True,
    resident=False,
  )
  section = config_lib.dataset("digits")
  section.data_dir = "/data"
  spec = Spec.from_config(section, "test")
  assert (spec.data_dir, spec.whole, spec.resident) == ("/data", False, True)


def test_what_was_opened_is_kept_and_what_is_resident_is_read(tmp_path):
  for i in range(10):
    (tmp_path / f"{i}.png").write_bytes(png(photo(9, 9, i)))
  spec = Spec("folder", "train", str(tmp_path), image_size=6)
  files = load(spec)
  assert load(spec) is files and not isinstance(files, ArraySource)
  arrays = load(dataclasses.replace(spec, resident=True))
  assert isinstance(arrays, ArraySource)
  rows = files.read(np.arange(8))
  np.testing.assert_array_equal(arrays.images, rows["image"])
