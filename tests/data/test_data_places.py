"""Tests of Places205, on a small copy of its files."""

import numpy as np
import pytest
from image_files import encode, photo

from sslprune_jax.data import DataError, Spec, load


@pytest.fixture
def root(tmp_path):
  lists = tmp_path / "trainvalsplit_places205"
  lists.mkdir()
  images = tmp_path / "data/vision/torralba/deeplearning/images256"
  for split, labels in (("train", (0, 204, 3)), ("val", (3, 0))):
    lines = []
    for i, label in enumerate(labels):
      name = f"a/abbey/{split}_{i}.jpg"
      lines.append(f"{name} {label}\n")
      file = images / name
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(encode(photo(20, 30, i), "JPEG"))
    (lists / f"{split}_places205.csv").write_text("".join(lines))
  return tmp_path


def places(root, split):
  load.cache_clear()  # The lists are read anew.
  return load(Spec("places205", split, str(root), image_size=16))


def test_the_lists_of_the_authors_are_the_splits(root):
  train = places(root, "train")
  test = places(root, "validation")
  assert train.labels.tolist() == [0, 204, 3] and train.num_classes == 205
  rows = test.read(np.array([1, 0]))
  assert rows["label"].tolist() == [0, 3] and rows["image"].shape[1:] == (
    16,
    16,
    3,
  )
  names = root / "trainvalsplit_places205/categoryIndex_places205.csv"
  names.write_text("/a/abbey 0\n/y/yard 204\n")
  train = places(root, "train")
  assert train.class_names[0] == "/a/abbey" and train.class_names[3] == "3"


def test_what_is_missing_or_wrong_is_named(root):
  lists = root / "trainvalsplit_places205/train_places205.csv"
  lists.write_text("a/abbey/x.jpg 0\na/abbey/y.jpg 205\n")
  with pytest.raises(DataError, match="line 2: found 'a/abbey/y.jpg 205', exp"):
    places(root, "train")
  lists.write_text("a/abbey/x.jpg ²\n", encoding="utf-8")
  with pytest.raises(DataError, match="line 1: found 'a/abbey/x.jpg ²', expec"):
    places(root, "train")
  lists.write_bytes(b"a/\xff.jpg 0\n")
  with pytest.raises(DataError, match="train_places205.csv: cannot be read"):
    places(root, "train")
  lists.unlink()
  with pytest.raises(DataError, match="found no list, expected that of Places"):
    places(root, "train")
  with pytest.raises(DataError, match="split: found test, expected one of"):
    places(root, "test")
