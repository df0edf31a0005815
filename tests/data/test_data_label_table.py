"""labels.csv: which image of a folder shows which class."""

import re

import numpy as np
import pytest
from image_files import encode, photo

from sslprune_jax import config as config_lib
from sslprune_jax import data
from sslprune_jax.study.images import RETRAINING, StudyData


@pytest.fixture
def folder(tmp_path):
  for i in range(12):
    path = tmp_path / ("a" if i < 6 else "b/c") / f"{i:02d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(photo(40, 40, i), "JPEG"))
  return tmp_path


def _write(folder, *rows, head="file,label", encoding="utf-8"):
  text = "\n".join([head, *rows]) + "\n"
  (folder / "labels.csv").write_bytes(text.encode(encoding))


def _open(folder, split="train"):
  spec = data.Spec("folder", split, str(folder), image_size=32, workers=1)
  return data.load(spec)


def _cats_and_dogs(folder, head="file,label"):
  rows = [f"a/{i:02d}.jpg,{'cat' if i < 3 else 'dog'}" for i in range(5)]
  _write(folder, *rows, "b/c/06.jpg,dog", "b/c/07.jpg,", head=head)


def test_labels_are_those_of_the_table_and_folders_are_no_classes(folder):
  _cats_and_dogs(folder)
  train, test = _open(folder), _open(folder, "test")
  assert train.class_names == ("cat", "dog")
  # A fifth of each is held out, of those without a label too.
  assert sorted(train.labels) == [-1] * 5 + [0] * 2 + [1] * 2
  assert sorted(test.labels) == [-1, 0, 1]
  rows = train.read(np.arange(len(train)))
  np.testing.assert_array_equal(rows["label"], train.labels)
  (note,) = train.notes
  assert note.endswith("found 12 images of 2 classes, 6 of them labelled")


def test_a_table_of_a_spreadsheet_is_read(folder):
  rows = [f"extra,dog,a\\{i:02d}.jpg" for i in range(3)]
  rows += [f',"cat, small",b/c/{i:02d}.jpg' for i in (7, 8)]
  _write(folder, *rows, head="note,label,file", encoding="utf-8-sig")
  assert _open(folder).class_names == ("cat, small", "dog")


def test_splits_may_have_one_table(folder):
  (folder / "train").mkdir()
  (folder / "a").rename(folder / "train/a")
  (folder / "b").rename(folder / "test")
  _write(
    folder,
    *("train/a/00.jpg,x", "train/a/01.jpg,y", "test/c/06.jpg,x"),
  )
  assert sorted(_open(folder).labels) == [-1] * 4 + [0, 1]
  assert sorted(_open(folder, "test").labels) == [-1] * 5 + [0]


@pytest.mark.parametrize(
  "rows, head, words",
  [
    (["a/00.jpg,x"], "name,label", "line 1: found the columns ['name', 'lab"),
    (["a/99.jpg,x", "a/00.jpg,y"], "file,label", "found 'a/99.jpg', expected"),
    (
      ["a/00.jpg,x", "a/00.jpg,y"],
      "file,label",
      "line 3: found 'a/00.jpg' a",
    ),
    (["a/00.jpg,", "a/00.jpg,y"], "file,label", "line 3: found 'a/00.jpg' a"),
    (["a/00.jpg,x", "a/1.jpg,", "a/2.jpg,y"], "file,label", "found 'a/1.jpg'"),
    (["../00.jpg,x"], "file,label", "line 2: found the file '../00.jpg'"),
    ([",x"], "file,label", "line 2: found the file ''"),
    (["a/00.jpg,x", "a/01.jpg,x"], "file,label", "found 1 classes (x), exp"),
    (['a/00.jpg,"x'], "file,label", "cannot be read: unexpected end of data"),
    (["a/00.jpg,x", "a/01.jpg,y", "a/02.jpg,y"], "file,label", "00.jpg: x: f"),
  ],
)
def test_a_table_that_is_wrong_is_refused(folder, rows, head, words):
  _write(folder, *rows, head=head)
  if words == "00.jpg: x: f":  # One image cannot be held out of.
    words = f"{folder}: x: found 1 image, expected 2 or more"
  with pytest.raises(data.DataError, match=re.escape(words)):
    _open(folder)


def test_a_table_that_is_no_text_is_refused(folder):
  (folder / "labels.csv").write_bytes(b"file,label\n\xff\xfe,x\n")
  with pytest.raises(data.DataError, match="labels.csv: cannot be read: "):
    _open(folder)


def _study_data(folder):
  config = config_lib.base()
  config.dataset.update(config_lib.dataset("folder"))
  config.dataset.update(data_dir=str(folder), image_size=32)
  return StudyData(config)


def test_where_all_neighbours_may_vote_test_images_have_labels(folder):
  for split, name in (("train", "a"), ("test", "b")):
    (folder / split).mkdir()
    (folder / name).rename(folder / split / name)
  rows = [f"train/a/{i:02d}.jpg,{'xy'[i % 2]}" for i in range(6)]
  _write(folder, *rows, "test/b/c/06.jpg,x")
  found = _study_data(folder)
  assert sorted(found.test.labels) == [-1] * 5 + [0]
  assert list(found.images("npid", 0).test.labels) == [0]


def test_what_reads_labels_sees_those_images_alone(folder):
  _cats_and_dogs(folder)
  found = _study_data(folder)
  for purpose in ("labels", RETRAINING):
    images = found.images(purpose, 0)
    assert sorted(images.train.labels) == [0, 0, 1, 1]
    assert sorted(images.test.labels) == [0, 1]
  assert sorted(found.images("s4l", 0).train.labels) == [-1] * 5 + [0, 0, 1, 1]
  assert len(found.images("rotnet", 0).train) == 9
