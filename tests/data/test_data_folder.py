"""Tests of folders of images."""

import numpy as np
import pytest
from image_files import encode, photo, png
from PIL import ExifTags, Image

from sslprune_jax.data import DataError, Spec, load

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


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_split_folders_are_the_splits(tmp_path, name):
  fill(tmp_path / "train", count=3)
  fill(tmp_path / name, names=["dog"], count=2)
  train, test = folder(tmp_path), folder(tmp_path, "test")
  assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
  assert test.labels.tolist() == [1, 1] and test.num_classes == 2


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


def test_a_broken_file_is_named_when_it_is_read(tmp_path):
  fill(tmp_path / "train")
  fill(tmp_path / "test")
  broken = tmp_path / "train" / "dog" / "3.png"
  broken.write_bytes(b"not an image")
  source = folder(tmp_path)
  source.read(np.array([0, 7]))
  with pytest.raises(DataError) as error:
    source.read(np.arange(10))
  assert str(error.value) == (
    f"{broken}: cannot be decoded: in no format that Pillow knows"
  )


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
