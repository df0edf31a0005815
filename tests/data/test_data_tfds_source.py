"""Tests of prepared TFDS sets, small ones made here and Fashion-MNIST."""

import json
import os
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds
import voc
from image_files import encode, photo, png

from sslprune_jax.data import DataError, Spec, in_memory, load, subset
from sslprune_jax.runtime import atomic


def prepare(data_dir, name, *, size, config=None, labelled=True):
  """Prepares a set of 12 and 6 images without TensorFlow."""
  shape = (size, size, 3)

  class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

    def _info(self):
      features = {"image": tfds.features.Image(shape=shape)}
      if labelled:
        features["label"] = tfds.features.ClassLabel(names=["x", "y", "z"])
      return tfds.core.DatasetInfo(
        builder=self, features=tfds.features.FeaturesDict(features)
      )

    def _split_generators(self, dl_manager):
      return {
        "train": self._generate_examples(12),
        "test": self._generate_examples(6),
      }

    def _generate_examples(self, count):
      for i in range(count):
        data = encode(photo(30, 20 + i), "JPEG")
        if size:
          data = png(photo(size, size, i))
        yield i, {"image": data} | ({"label": i % 3} if labelled else {})

  Tiny.name = name
  Tiny(data_dir=data_dir, file_format="array_record").download_and_prepare(
    download_config=tfds.download.DownloadConfig(try_download_gcs=False)
  )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  root = tmp_path_factory.mktemp("tfds")
  prepare(root, "fixed", size=8)
  prepare(root, "varied", size=None)
  prepare(root, "several", size=8, config="small")
  prepare(root, "bare", size=8, labelled=False)
  return str(root)


def test_images_of_one_size_are_read_as_stored(data_dir):
  source = load(Spec("fixed", "train", data_dir=data_dir))
  assert (len(source), source.image_shape) == (12, (8, 8, 3))
  assert source.class_names == ("x", "y", "z") and not source.crops
  rows = source.read(np.arange(12), np.arange(12, dtype=np.uint64))
  stored = {photo(8, 8, i).tobytes(): i % 3 for i in range(12)}  # shuffled
  labels = [stored.pop(image.tobytes()) for image in rows["image"]]
  assert rows["label"].tolist() == labels == source.labels.tolist()


@pytest.mark.parametrize("times", [1, 300])  # Few, and as many as at once.
def test_any_order_with_repetitions(times, data_dir):
  source = load(Spec("fixed", "train", data_dir=data_dir, workers=1))
  indices = np.tile([11, 0, 5, 5], times)
  np.testing.assert_array_equal(
    source.read(indices)["image"], in_memory(source, 10**6).images[indices]
  )


def test_images_that_vary_are_cropped(data_dir):
  source = load(Spec("varied", "train", data_dir=data_dir, image_size=16))
  assert source.image_shape == (16, 16, 3) and source.crops
  indices = np.zeros(2, int)
  crops = source.read(indices, np.array([1, 2], np.uint64))["image"]
  assert not np.array_equal(*crops)
  assert np.array_equal(*source.read(indices)["image"])


def test_another_size_and_grey_on_request(data_dir):
  source = load(
    Spec("fixed", "test", data_dir=data_dir, image_size=6, channels=1)
  )
  assert source.read(np.arange(6))["image"].shape == (6, 6, 6, 1)
  assert source.crops


def test_slices_and_sums_of_splits(data_dir):
  sizes = {"train[:10]": 10, "train[50%:]": 6, "train+test": 18}
  for split, size in sizes.items():
    assert len(load(Spec("fixed", split, data_dir=data_dir))) == size


def test_a_config_and_a_version(data_dir):
  for name in ("several/small", "several/small:1.0.0", "fixed:1.0.0"):
    assert len(load(Spec(name, "train", data_dir=data_dir))) == 12


def test_a_set_without_labels(data_dir):
  source = load(Spec("bare", "train", data_dir=data_dir))
  assert source.num_classes == 0 and source.class_names == ()
  assert set(source.labels) == {-1}


def test_the_environment_says_where(data_dir, monkeypatch):
  monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
  assert len(load(Spec("fixed", "test"))) == 6


def test_a_missing_set_asks_no_network_and_says_how_to_prepare_it(
  data_dir, tmp_path, monkeypatch
):
  asked = []  # TFDS asks a network for a set that it lacks, for minutes.
  monkeypatch.setattr(
    socket, "getaddrinfo", lambda *args, **_: asked.append(args)
  )
  with pytest.raises(DataError) as error:
    load(Spec("cifar10", "train", data_dir=data_dir))
  message = str(error.value)
  assert f"no prepared set in {data_dir}/cifar10" in message
  assert "has bare, fixed, several, varied" in message
  command = "tfds build cifar10 --data_dir={} --file_format=array_record"
  assert command.format(data_dir) in message and "\n" not in message
  monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
  monkeypatch.setenv("HOME", str(tmp_path))
  with pytest.raises(DataError) as error:
    load(Spec("cifar10", "train"))
  assert command.format(tmp_path / "tensorflow_datasets") in str(error.value)
  assert not asked


@pytest.mark.parametrize(
  ("name", "split", "message"),
  [
    ("fixed", "validation", "split: found validation, expected .* train, test"),
    ("fixed", "train[:x]", r"split: found train\[:x\]"),
    ("fixed", "train[:0]", "which is empty"),
    ("fixed", "train[5:2]", "which is empty"),
    ("fixed:2.0.0", "train", "only version 1.0.0 in .*/fixed"),
    ("several", "train", "only the configs small in .*/several"),
    ("no set", "train", "name: found no set, expected a data set, such as"),
    ("varied", "train", "image_size: found none, .* images of varied vary"),
  ],
)
def test_what_is_not_there_is_named(data_dir, name, split, message):
  with pytest.raises(DataError, match=message) as error:
    load(Spec(name, split, data_dir=data_dir))
  assert "\n" not in str(error.value)


def rewrite(folder, file, change):
  path = folder / "fixed" / "1.0.0" / file
  path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_tfrecord_files_are_refused(tmp_path):
  prepare(tmp_path, "fixed", size=8)
  info = {"fileFormat": "tfrecord"}
  rewrite(tmp_path, "dataset_info.json", lambda old: old | info)
  with pytest.raises(DataError) as error:
    load(Spec("fixed", "train", data_dir=str(tmp_path)))
  assert f"found tfrecord files in {tmp_path}/fixed/1.0.0" in str(error.value)
  assert f"--data_dir={tmp_path} --file_format=array_record" in str(error.value)


def test_a_set_that_is_no_classification_is_refused(tmp_path):
  prepare(tmp_path, "fixed", size=8)

  def rename(features):
    inner = features["featuresDict"]["features"]
    inner["picture"] = inner.pop("image")
    return features

  rewrite(tmp_path, "features.json", rename)
  with pytest.raises(DataError, match="found the features label, picture, exp"):
    load(Spec("fixed", "train", data_dir=str(tmp_path)))


@pytest.mark.parametrize("damage", ["gone", "cut", "empty"])
@pytest.mark.parametrize(
  "file", ["features.json", "dataset_info.json", "fixed-train.array_record*"]
)
def test_a_set_that_was_copied_in_part_is_named(file, damage, tmp_path):
  prepare(tmp_path, "fixed", size=8)
  (path,) = (tmp_path / "fixed/1.0.0").glob(file)
  content = path.read_bytes()
  if damage == "gone":
    path.unlink()
  else:
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
  load.cache_clear()
  with pytest.raises(DataError) as error:
    source = load(Spec("fixed", "train", data_dir=str(tmp_path)))
    source.read(np.arange(len(source)))
  words = str(error.value)
  # What is cut may still be read, as other bytes.
  place = "fixed train, image 0" if damage == "cut" else f"{tmp_path}/fixed"
  assert place in words or f"{tmp_path}/fixed" in words
  assert "\n" not in words


def test_a_broken_image_is_named(tmp_path, monkeypatch):
  prepare(tmp_path, "fixed", size=8)
  source = load(Spec("fixed", "train", data_dir=str(tmp_path)))
  fetch = source._fetch
  monkeypatch.setattr(
    source, "_fetch", lambda i: [(data[:50], label) for data, label in fetch(i)]
  )
  with pytest.raises(DataError, match="fixed train, image 4: cannot be decod"):
    source.read(np.array([4]))


def test_fashion_mnist():
  places = [os.environ.get("TFDS_DATA_DIR"), "~/tensorflow_datasets"]
  for place in filter(None, places):
    if os.path.isdir(os.path.expanduser(f"{place}/fashion_mnist/3.0.1")):
      break
  else:
    pytest.skip("no Fashion-MNIST: python launch/prepare_fashion_mnist.py")
  test = load(Spec("fashion_mnist", "test", data_dir=place))
  assert (len(test), test.image_shape) == (10_000, (28, 28, 1))
  assert test.class_names[0] == "T-shirt/top"
  images = in_memory(test, 10**7)
  assert np.bincount(images.labels).tolist() == [1000] * 10
  assert images.images.astype(int).sum() == FASHION_MNIST_TEST_SUM


FASHION_MNIST_TEST_SUM = 573_469_082


def test_voc_has_several_labels_and_does_not_count_difficult_ones(
  tmp_path, monkeypatch
):
  voc.prepare(tmp_path / "tfds", tmp_path / "voc", monkeypatch)
  for split, numbers in (
    ("train+validation", [*range(40), *range(1000, 1040)]),
    ("test", range(2000, 2060)),
  ):
    source = load(
      Spec("voc/2007", split, data_dir=str(tmp_path / "tfds"), image_size=24)
    )
    assert source.multi_label and source.class_names == tuple(voc.CLASSES)
    expected = sorted(voc.label(number) for number in numbers)
    assert sorted(source.labels.tolist()) == expected
    assert any(-1 in label for label in expected)
    some = np.array([5, 0, 5])
    rows = subset(source, np.arange(6)).read(some)
    np.testing.assert_array_equal(rows["label"], source.labels[some])
    arrays = in_memory(source, 10**6)
    assert arrays.multi_label
    np.testing.assert_array_equal(arrays.labels, source.labels)


def _count_fetches(source, monkeypatch):
  fetched = []
  fetch = source._fetch
  monkeypatch.setattr(
    source, "_fetch", lambda rows: fetched.extend(rows) or fetch(rows)
  )
  return fetched


def test_labels_are_read_once_and_kept_beside_the_set(tmp_path, monkeypatch):
  prepare(tmp_path, "kept", size=8)
  folder = tmp_path / "kept/1.0.0"

  def read(split="train"):
    load.cache_clear()
    source = load(Spec("kept", split, data_dir=str(tmp_path)))
    fetched = _count_fetches(source, monkeypatch)
    return source.labels.tolist(), len(fetched)

  labels, fetched = read()
  assert fetched == 12 and read() == (labels, 0)
  assert read("train[:50%]") == (labels[:6], 6)
  kept = sorted(folder.glob(".labels_*.npz"))
  assert len(kept) == 2
  for path in kept:  # Damaged: they are read anew.
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
  assert read() == (labels, 12) and read() == (labels, 0)
  (record,) = folder.glob("kept-train.array_record*")
  os.utime(record, ns=(1, 1))  # Another file, maybe.
  assert read() == (labels, 12)


def test_labels_of_a_set_that_is_read_only_are_kept_in_the_cache(
  tmp_path, monkeypatch
):
  prepare(tmp_path, "kept", size=8)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  write = atomic.write

  def refuse(path, content):
    if "cache" not in str(path):
      raise PermissionError(path)
    write(path, content)

  monkeypatch.setattr(atomic, "write", refuse)
  for fetches in (12, 0):
    load.cache_clear()
    source = load(Spec("kept", "train", data_dir=str(tmp_path)))
    fetched = _count_fetches(source, monkeypatch)
    assert len(source.labels) == 12 and len(fetched) == fetches
  assert len(list((tmp_path / "cache/sslprune_jax/labels").iterdir())) == 1
