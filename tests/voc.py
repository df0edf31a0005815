"""A small set in the form of VOC2007, prepared by TFDS's own builder."""

import pathlib
import types

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.object_detection import voc

CLASSES = voc._VOC_LABELS
COUNTS = {"train": 40, "val": 40, "test": 60}
# Where a class is shown: a block of a 4 x 5 grid lights up.
_ROWS, _COLUMNS, _SIDE = 4, 5, 6


def prepare(data_dir: pathlib.Path, folder: pathlib.Path, monkeypatch) -> None:
  """Writes images and annotations below a folder, and has TFDS read them."""
  for number, (split, count) in enumerate(COUNTS.items()):
    _write(folder / "VOCdevkit/VOC2007", split, 1000 * number, count)
  # TFDS opens the annotations by TensorFlow, which reading does not need.
  gfile = types.SimpleNamespace(GFile=open)
  io = types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile))
  monkeypatch.setattr(voc, "tf", io)
  monkeypatch.setattr(
    tfds.download.DownloadManager,
    "download_and_extract",
    lambda self, urls: dict.fromkeys(urls, str(folder)),
  )
  voc.Voc(
    config="2007", data_dir=data_dir, file_format="array_record"
  ).download_and_prepare(
    download_config=tfds.download.DownloadConfig(try_download_gcs=False)
  )


def objects(number: int) -> list[tuple[int, bool]]:
  """Returns the classes in an image, and whether the object is difficult."""
  rng = np.random.default_rng(number)
  shown = rng.choice(len(CLASSES), 3, replace=False)
  found = [(number % len(CLASSES), False), (int(shown[0]), False)]
  found.append((int(shown[1]), number % 3 == 0))
  return found


def label(number: int) -> list[int]:
  """Returns the label of an image: 1, 0, or -1 for difficult objects only."""
  label = [0] * len(CLASSES)
  for of, difficult in sorted(objects(number), key=lambda o: not o[1]):
    label[of] = -1 if difficult else 1
  return label


def _write(root: pathlib.Path, split: str, first: int, count: int) -> None:
  names = []
  for number in range(first, first + count):
    name = f"{number:06d}"
    names.append(name)
    (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
    _image(number).save(root / f"JPEGImages/{name}.jpg", quality=95)
    (root / "Annotations").mkdir(parents=True, exist_ok=True)
    (root / f"Annotations/{name}.xml").write_text(_annotation(number))
  (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
  (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")


def _image(number: int) -> Image.Image:
  pixels = np.random.default_rng(number).integers(
    0, 60, (_ROWS * _SIDE, _COLUMNS * _SIDE, 3), np.uint8
  )
  for of, _ in objects(number):
    top, left = divmod(of, _COLUMNS)
    pixels[top * _SIDE :, left * _SIDE :][:_SIDE, :_SIDE] += 180
  return Image.fromarray(pixels)


def _annotation(number: int) -> str:
  return (
    "<annotation><size><width>30</width><height>24</height></size>"
    + "".join(
      f"<object><name>{CLASSES[of]}</name><pose>Unspecified</pose>"
      f"<truncated>0</truncated><difficult>{int(difficult)}</difficult>"
      "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
      "</bndbox></object>"
      for of, difficult in objects(number)
    )
    + "</annotation>"
  )
