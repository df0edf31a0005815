"""Debian's dataset-fashion-mnist -> a prepared TFDS set, with no network.

  apt-get install dataset-fashion-mnist
  python launch/prepare_fashion_mnist.py [--data_dir ~/tensorflow_datasets]

Makes `fashion_mnist/3.0.1` in array_record without TensorFlow, 70,000 images in
about 8 s; running it again does nothing. TFDS's own builder needs a network
for the files and TensorFlow to encode them, so a subclass of it reads Debian's.
"""

import argparse
import gzip
import hashlib
import io
import os
import pathlib
import struct
import sys

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.image_classification import mnist

_SOURCE = "/usr/share/datasets/fashion-mnist"
# Upstream's files by name: the time in the gzip header, and the SHA-256 that
# TFDS registers. Debian's strip-nondeterminism took time and name out of the
# headers; with them put back the files are upstream's, bit for bit.
_FILES = {
  "train-images-idx3-ubyte": (
    1504176606,
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
  ),
  "train-labels-idx1-ubyte": (
    1504176606,
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
  ),
  "t10k-images-idx3-ubyte": (
    1504176627,
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
  ),
  "t10k-labels-idx1-ubyte": (
    1504176627,
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
  ),
}


def read_idx(source: pathlib.Path, name: str) -> np.ndarray:
  """Reads one of the four files, and verifies that it is upstream's.

  Args:
    source: folder of the .gz files, Debian's or upstream's.
    name: a key of `_FILES`.

  Returns:
    u8[N,28,28] or u8[N].

  Raises:
    ValueError: it is another file.
  """
  path = source / f"{name}.gz"
  raw = path.read_bytes()
  time, expected = _FILES[name]
  header = b"\x1f\x8b\x08\x08" + struct.pack("<I", time) + b"\x00\x03"
  upstream = header + name.encode() + b"\0" + raw[10:]
  found = [hashlib.sha256(data).hexdigest() for data in (raw, upstream)]
  if expected not in found:
    raise ValueError(f"{path}: found SHA-256 {found[0]}, expected {expected}")
  data = gzip.decompress(raw)
  axes = data[3]
  shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
  return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _png(image: np.ndarray) -> bytes:
  file = io.BytesIO()
  Image.fromarray(image).save(file, "PNG")
  return file.getvalue()


def make_builder(
  source: pathlib.Path, data_dir: str
) -> tfds.core.DatasetBuilder:
  """Returns TFDS's builder of fashion_mnist, reading local files.

  Args:
    source: folder of the .gz files.
    data_dir: where prepared TFDS sets lie.
  """
  with tfds.core.registered.skip_registration():

    class FashionMnist(mnist.FashionMNIST):
      name = "fashion_mnist"

      def _split_generators(self, dl_manager):
        del dl_manager
        return {
          "train": self._examples("train"),
          "test": self._examples("t10k"),
        }

      def _examples(self, prefix):
        images = read_idx(source, f"{prefix}-images-idx3-ubyte")
        labels = read_idx(source, f"{prefix}-labels-idx1-ubyte")
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
          yield i, {"image": _png(image), "label": int(label)}

  return FashionMnist(data_dir=data_dir, file_format="array_record")


def main() -> None:
  """Prepares the set, unless it is prepared."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
  parser.add_argument("--data_dir", default=default)
  parser.add_argument("--source", type=pathlib.Path, default=_SOURCE)
  flags = parser.parse_args()
  if not flags.source.is_dir():
    sys.exit(
      f"--source: found no folder {flags.source}; "
      "apt-get install dataset-fashion-mnist"
    )
  builder = make_builder(flags.source, os.path.expanduser(flags.data_dir))
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(try_download_gcs=False)
  )
  sizes = {name: s.num_examples for name, s in builder.info.splits.items()}
  print(builder.data_dir, sizes)


if __name__ == "__main__":
  main()
