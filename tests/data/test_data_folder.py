"""Tests of folders of images."""

import os

import numpy as np
import pytest
from image_files import encode, photo, png
from PIL import ExifTags, Image

from sslprune_jax.data import DataError, Spec, load
from sslprune_jax.data import folder as folder_lib

SIZE = 12


def write(path, data=None, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(png(photo(20, 16, seed)) if data is None else data)


def fill(root, names=("cat", "dog"), count=5):
  for label, name in enumerate(names):
    for i in range(count):
      write(root / name / f"{i}.png", seed=10 * label + i)


def folder(root, split="train", **settings):
  load.cache_clear()  # The folder is listed anew.
  folder_lib._read.cache_clear()
  return load(Spec("folder", split, str(root), SIZE, **settings))


def test_a_fifth_is_held_out_when_there_are_no_splits(tmp_path):
  fill(tmp_path, count=10)
  train, test = folder(tmp_path), folder(tmp_path, "test")
  assert (len(train), len(test)) == (16, 4)
  assert np.bincount(test.labels).tolist() == [2, 2]
  assert train.class_names == test.class_names == ("cat", "dog")
  files = {*train._files, *test._files}
  assert len(files) == 20
  assert folder(tmp_path)._files == train._files


@pytest.mark.parametrize(
  "names",
  [
    ("train", "test"),
    ("train", "val"),
    ("Train", "Validation"),
    ("training", "testing"),
    ("TRAINING", "Valid"),
  ],
)
def test_split_folders_are_the_splits(tmp_path, names):
  fill(tmp_path / names[0], count=3)
  fill(tmp_path / names[1], names=["dog"], count=2)
  (tmp_path / "labels").mkdir()  # Without images: no class.
  write(tmp_path / "labels" / "list.json", b"{}")
  train, test = folder(tmp_path), folder(tmp_path, "test")
  assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
  assert test.labels.tolist() == [1, 1] and test.num_classes == 2


def test_a_test_split_is_taken_before_one_for_validation(tmp_path):
  fill(tmp_path / "train", count=3)
  fill(tmp_path / "val", count=2)
  fill(tmp_path / "test", count=1)
  test = folder(tmp_path, "test")
  assert len(test) == 2 and all("/test/" in file for file in test._files)
  assert test.notes[1] == (
    f"{tmp_path}/val: not used, as there is a test split beside it"
  )


def test_a_training_split_alone_is_held_out_from(tmp_path):
  fill(tmp_path / "train", count=10)
  train, test = folder(tmp_path), folder(tmp_path, "test")
  assert (len(train), len(test)) == (16, 4) and train.num_classes == 2


@pytest.mark.parametrize(
  "names, message",
  [
    (("train", "valid", "cat"), "train: found a split, or a class, beside cat"),
    (
      ("test", "cat"),
      "test: found a split, or a class, beside cat: .*rename",
    ),
    (("val",), "val: found a split for the test, or a class, and no train"),
    (("train", "Train"), "rain: found .rain beside it, expected one of them"),
    (("train", "val", "valid"), "val: found valid beside it, expected one"),
    (("train", "test", "testing"), "test: found testing beside it"),
    (("cat/train", "cat/val", "dog"), "found a split inside of cat, which w"),
    (("x/y/train", "x/y/test"), "y/train: found a split inside of y, which"),
    (("train/cat/train", "train/cat/test"), "found a split inside of cat, wh"),
    (("train/cat", "train/dog", "train/test"), "test: found a split, or a c"),
    (("train/train/cat", "train/train/dog"), "found a split, or a class, ins"),
    (("train_set", "test_set"), "train_set: found what is called nearly as a"),
    (("Train-set", "Test-set"), "nearly as a split, and Test-set: expected"),
    (("seg_train", "seg_test"), "nearly as a split, and seg_test"),
    (("train2017", "val2017"), "nearly as a split, and val2017"),
    (("trainA", "trainB", "testA", "testB"), "nearly as a split, and testA"),
    (("train/cat", "test/cat", "test/dog"), "dog: found a class that the tra"),
    (("train/cat", "test/dog"), "dog: found a class .* expected cat"),
    (("photos/train", "photos/test"), "expected dataset.data_dir=.*/photos"),
  ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, names, message):
  for name in names:
    fill(tmp_path / name, count=2)
  with pytest.raises(DataError, match=message) as error:
    folder(tmp_path)
  assert "\n" not in str(error.value)


def test_classes_may_be_called_after_trains(tmp_path):
  fill(tmp_path, names=["train_station", "valley", "testudo"])
  assert folder(tmp_path).num_classes == 3


def test_a_test_split_has_no_classes_where_the_training_images_have_none(
  tmp_path,
):
  for i in range(3):
    write(tmp_path / "train" / f"{i}.png", seed=i)
  fill(tmp_path / "test")
  with pytest.raises(DataError, match="cat: found a class .*have, expected no"):
    folder(tmp_path)


def test_a_folder_around_classes_is_said(tmp_path):
  fill(tmp_path / "set")
  source = folder(tmp_path)
  assert source.num_classes == 0
  assert source.notes[1] == (
    f"{tmp_path}/set: the only folder, which holds 2: read as images without "
    f"labels; dataset.data_dir={tmp_path}/set reads these as classes"
  )


def test_a_class_whose_images_are_all_broken_is_named(tmp_path):
  fill(tmp_path)
  for file in (tmp_path / "cat").iterdir():
    file.write_bytes(b"")
  with pytest.raises(DataError, match="cat: found 0 images, expected 2"):
    folder(tmp_path, broken="skip")
  for file in (tmp_path / "dog").iterdir():
    file.write_bytes(b"")
  with pytest.raises(DataError, match="found 0 images"):
    folder(tmp_path, broken="skip")


def test_what_was_left_out_is_known_of_images_in_memory_too(tmp_path):
  fill(tmp_path)
  (tmp_path / "cat" / "0.png").write_bytes(b"")
  streamed, resident = (
    folder(tmp_path, broken="skip", resident=r) for r in (False, True)
  )
  assert resident.left_out == streamed.left_out and resident.left_out
  assert resident.notes == streamed.notes and len(resident) == len(streamed)


def test_a_link_to_nothing_may_have_been_a_class(tmp_path):
  fill(tmp_path)
  (tmp_path / "bird").symlink_to("/nowhere/birds")
  with pytest.raises(DataError, match="bird: found a link to nothing, exp"):
    folder(tmp_path)
  (tmp_path / "bird").rename(tmp_path / "bird.v2")
  with pytest.raises(DataError, match="bird.v2: found a link to nothing, exp"):
    folder(tmp_path)
  (tmp_path / "bird.v2").unlink()
  (tmp_path / "cat" / "loop.jpg").symlink_to("loop.jpg")
  with pytest.raises(DataError, match="loop.jpg: cannot be read: Too many lev"):
    folder(tmp_path)
  assert len(folder(tmp_path, broken="skip").left_out) == 1


def test_folders_that_link_to_each_other_are_listed_once(tmp_path):
  names = [f"class{i}" for i in range(9)]
  fill(tmp_path, names=names, count=2)
  for name in names:
    for other in names:
      if other != name:
        (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
  (tmp_path / "self").symlink_to(tmp_path)
  source = folder(tmp_path)
  assert source.num_classes == 9
  assert len(source) + len(folder(tmp_path, "test")) == 9 * 18


def test_a_name_that_does_not_print_stays_in_its_line(tmp_path):
  fill(tmp_path)
  (tmp_path / "cat" / "bro\nken.png").write_bytes(b"")
  (tmp_path / "cat" / "odd.\x1b[31m").write_bytes(b"")
  with pytest.raises(DataError, match=r"bro\\nken.png: cannot be decoded"):
    folder(tmp_path)
  (note,) = folder(tmp_path, broken="skip").notes
  assert note.endswith(r"left out: 1 broken, 1 .\x1b[31m")


def test_greys_that_are_not_of_sixteen_bits_are_broken(tmp_path):
  fill(tmp_path)
  deep = np.full((9, 9), 70_000, np.int32)
  write(tmp_path / "cat" / "deep.tif", encode(Image.fromarray(deep), "TIFF"))
  with pytest.raises(DataError, match="found greys from 0 to 70000, expect"):
    folder(tmp_path)


def test_an_image_beside_splits_is_refused(tmp_path):
  fill(tmp_path / "train")
  write(tmp_path / "loose.png")
  with pytest.raises(DataError, match="found a split, or a class, beside loo"):
    folder(tmp_path)


def test_a_folder_of_one_folder_has_no_labels(tmp_path):
  fill(tmp_path, names=["all"], count=10)
  train = folder(tmp_path)
  assert (len(train), train.num_classes) == (8, 0)
  assert set(train.labels) == {-1}
  assert train.notes == (f"{tmp_path}: found 10 images of no class",)


def test_names_compare_however_their_accents_are_written(tmp_path):
  composed, apart = "caf\u00e9", "cafe\u0301"
  fill(tmp_path / "train", names=[composed, "dog"], count=2)
  fill(tmp_path / "test", names=[apart], count=2)
  test = folder(tmp_path, "test")
  assert test.class_names == (composed, "dog")
  assert test.labels.tolist() == [0, 0]
  fill(tmp_path / "train", names=[apart], count=2)
  with pytest.raises(DataError, match="found two folders of this name"):
    folder(tmp_path)


def test_what_is_left_out_is_counted_in_a_line(tmp_path):
  fill(tmp_path)
  for name in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
    write(tmp_path / "cat" / name, b"x")
  for name in (".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX"):
    write(tmp_path / "dog" / name / "0.png")
    write(tmp_path / name / "0.png")
  write(tmp_path / "cat" / "notes.txt", b"")
  write(tmp_path / "cat" / "clip.mp4", b"")
  write(tmp_path / "cat" / "README", b"")
  os.mkfifo(tmp_path / "cat" / "pipe.png")
  (tmp_path / "dog" / "back").symlink_to(tmp_path)
  (tmp_path / "dog" / "deeper").mkdir()
  (tmp_path / "dog" / "deeper" / "up").symlink_to(tmp_path / "dog")
  source = folder(tmp_path, workers=2)
  assert source.notes == (
    f"{tmp_path}: found 10 images of 2 classes; left out: 1 .mp4, 1 .txt, "
    "12 hidden, 2 links that lead back, "
    "1 no file (a pipe, a socket, a device), 1 without suffix",
  )


def test_a_linked_folder_is_a_class_and_a_lost_image_is_missed(tmp_path):
  fill(tmp_path / "there", names=["cats"])
  fill(tmp_path / "photos", names=["dog"])
  (tmp_path / "photos" / "cat").symlink_to(tmp_path / "there" / "cats")
  train = folder(tmp_path / "photos")
  assert train.class_names == ("cat", "dog") and len(train) == 8
  (tmp_path / "photos" / "dog" / "9.png").symlink_to(tmp_path / "gone.png")
  with pytest.raises(DataError, match="dog/9.png: cannot be read: No such"):
    folder(tmp_path / "photos")


def test_greys_of_twelve_bits_are_read_by_their_range(tmp_path):
  deep = np.linspace(0, 4095, SIZE * SIZE).reshape(SIZE, SIZE)
  for split in ("train", "test"):
    for i in range(2):
      write(tmp_path / split / f"{i}.png", png(deep.astype(np.uint16)))
  source = folder(tmp_path, channels=1)
  assert source.notes[1] == (
    f"{tmp_path}: found 4 images of 16 bits that use 12: read as such"
  )
  read = source.read(np.array([0]))["image"][0, ..., 0]
  np.testing.assert_array_equal(read, deep.astype(int) >> 4)
  # One that uses more says that they all have 16.
  write(tmp_path / "test" / "2.png", png((deep * 16).astype(np.uint16)))
  source = folder(tmp_path, channels=1)
  assert len(source.notes) == 1
  read = source.read(np.array([0]))["image"][0, ..., 0]
  np.testing.assert_array_equal(read, deep.astype(int) >> 8)


# As `opening` has it: pytest sets the filters of warnings anew.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_is_broken(tmp_path):
  fill(tmp_path)
  large = encode(Image.new("1", (20_000, 6_000)), "PNG")  # 120 million
  write(tmp_path / "cat" / "large.png", large)
  with pytest.raises(DataError, match="found 20000 x 6000 pixels, expected at"):
    folder(tmp_path)
  with pytest.raises(DataError, match="max_pixels = 300"):
    folder(tmp_path, max_pixels=300)
  assert len(folder(tmp_path, broken="skip").left_out) == 1


def test_images_may_lie_deeper_and_other_files_beside_them(tmp_path):
  fill(tmp_path)
  write(tmp_path / "cat" / "images" / "a.JPEG", encode(photo(9, 9), "JPEG"))
  write(tmp_path / "cat" / "notes.txt", b"")
  write(tmp_path / ".cache" / "x.png")
  sources = folder(tmp_path), folder(tmp_path, "test")
  assert sum(map(len, sources)) == 11
  assert sources[0].num_classes == 2


def test_every_kind_of_file_is_read(tmp_path):
  pixels = photo(20, 16)
  image = Image.fromarray(pixels)
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 6
  turned = Image.fromarray(np.ascontiguousarray(np.rot90(pixels)))
  files = {
    "alpha.png": png(image.convert("RGBA")),
    "cmyk.jpg": encode(image.convert("CMYK"), "JPEG", quality=95),
    "palette.png": png(image.quantize(256)),
    "plain.bmp": encode(image, "BMP"),
    "plain.gif": encode(image, "GIF"),
    "plain.webp": encode(image, "WEBP", lossless=True),
    "turned.jpg": encode(turned, "JPEG", quality=95, exif=exif),
  }
  for name, data in files.items():
    write(tmp_path / "train" / name, data)
  write(tmp_path / "train" / "grey.png", png(image.convert("L")))
  write(tmp_path / "test" / "plain.png", png(image))
  expected = folder(tmp_path, "test").read(np.array([0]))["image"].astype(int)
  source = folder(tmp_path)
  read = source.read(np.arange(8))["image"]
  assert read.shape == (8, SIZE, SIZE, 3) and read.dtype == np.uint8
  error = np.abs(read.astype(int) - expected).mean((1, 2, 3))
  grey = [file.endswith("grey.png") for file in source._files].index(True)
  assert (np.delete(error, grey) < 9).all(), error
  assert np.ptp(read[grey], axis=-1).max() == 0
  assert folder(tmp_path, channels=1).read(np.arange(8))["image"].shape == (
    (8, SIZE, SIZE, 1)
  )


def test_no_subfolders_are_no_labels(tmp_path):
  for i in range(10):
    write(tmp_path / f"{i}.png", seed=i)
  train, test = folder(tmp_path), folder(tmp_path, "test")
  assert (len(train), len(test), train.num_classes) == (8, 2, 0)
  assert train.labels.tolist() == [-1] * 8
  assert train.read(np.array([3]))["label"].tolist() == [-1]


def test_threads_do_not_change_pixels(tmp_path):
  fill(tmp_path, count=30)
  indices = np.arange(48)[::-1]
  seeds = np.arange(48, dtype=np.uint64) ** 5
  one, four = (folder(tmp_path, workers=n).read(indices, seeds) for n in (1, 4))
  np.testing.assert_array_equal(one["image"], four["image"])
  np.testing.assert_array_equal(one["label"], four["label"])


def test_a_crop_depends_on_its_own_seed_alone(tmp_path):
  fill(tmp_path)
  source = folder(tmp_path)
  together = source.read(np.array([1, 2, 2]), np.array([5, 6, 7], np.uint64))
  alone = source.read(np.array([2]), np.array([6], np.uint64))
  np.testing.assert_array_equal(together["image"][1], alone["image"][0])
  assert not np.array_equal(together["image"][1], together["image"][2])


def test_a_broken_file_is_named_before_anything_is_read(tmp_path):
  fill(tmp_path / "train")
  fill(tmp_path / "test")
  broken = tmp_path / "train" / "dog" / "3.png"
  broken.write_bytes(b"not an image")
  with pytest.raises(DataError) as error:
    folder(tmp_path, "test")  # Both splits are looked at.
  why = f"{broken}: cannot be decoded: in no format that is read here"
  assert str(error.value) == (
    f"{why}; dataset.broken='skip' leaves out what is broken"
  )
  (tmp_path / "test" / "cat" / "0.png").write_bytes(b"")
  with pytest.raises(DataError, match=r" .1 more broken.; dataset"):
    folder(tmp_path)
  source = folder(tmp_path, broken="skip")
  assert len(source) == 9 and str(broken) not in source._files
  assert source.left_out[str(broken)] == why and len(source.left_out) == 2
  assert source.notes == (
    f"{tmp_path}: found 18 images of 2 classes; left out: 2 broken",
  )
  assert len(folder(tmp_path, "test", broken="skip")) == 9


def test_a_file_that_breaks_off_is_named_when_it_is_read(tmp_path):
  fill(tmp_path / "train")
  fill(tmp_path / "test")
  broken = tmp_path / "train" / "dog" / "3.png"
  broken.write_bytes(broken.read_bytes()[:300])
  source = folder(tmp_path)
  source.read(np.array([0, 7]))
  with pytest.raises(DataError, match=f"{broken}: cannot be decoded: "):
    source.read(np.arange(10))


def test_a_file_that_is_gone_is_named(tmp_path):
  fill(tmp_path)
  source = folder(tmp_path)
  for file in (tmp_path / "cat").iterdir():
    file.unlink()
  with pytest.raises(DataError, match=r"cat/\d.png: cannot be read: No such"):
    source.read(np.array([0]))


def test_an_empty_class_is_named(tmp_path):
  fill(tmp_path)
  (tmp_path / "emu").mkdir()
  with pytest.raises(DataError, match=f"{tmp_path}/emu: found no image, exp"):
    folder(tmp_path)


def test_an_empty_folder_is_named(tmp_path):
  with pytest.raises(DataError, match=f"{tmp_path}: found no image, expected"):
    folder(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(DataError, match=f"found no folder {tmp_path}/nowhere"):
    folder(tmp_path / "nowhere")


def test_a_class_without_training_images_is_named(tmp_path):
  fill(tmp_path / "train")
  fill(tmp_path / "test", names=["cat", "emu"])
  with pytest.raises(DataError, match="test/emu: .* expected cat, dog"):
    folder(tmp_path, "test")


def test_an_image_beside_classes_is_named(tmp_path):
  fill(tmp_path)
  write(tmp_path / "loose.png")
  with pytest.raises(DataError, match="loose.png: found an image beside"):
    folder(tmp_path)


def test_a_class_of_one_image_cannot_be_split(tmp_path):
  fill(tmp_path)
  write(tmp_path / "emu" / "0.png")
  with pytest.raises(DataError, match="emu: found 1 image, expected 2 or more"):
    folder(tmp_path)


def test_an_unknown_split_is_refused(tmp_path):
  with pytest.raises(DataError, match="split: found val, expected train or t"):
    folder(tmp_path, "val")
