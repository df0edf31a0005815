"""How fast are images decoded: by which library, and on how many cores?

  python benchmarks/decoding.py libraries
  python benchmarks/decoding.py cores

`libraries`: JPEG files of 500 x 375 to random resized crops of 224, by our
decoder, and by each library that is installed, whose pixels Pillow crops and
resizes by the same filter. Milliseconds of the processor an image, by turns,
and how far its pixels lie from those of Pillow without `decode`'s reading of
large crops at half their size. Another build of Pillow: `PYTHONPATH=FOLDER`.

`cores`: the same images as a set of TFDS in 16 files, made into batches by as
many threads as there are cores: 1, 2, 4, ... of the machine's; and by as many
processes of one core at the same time, which is what the machine itself gives.
Images a second, by turns, and as a share of so many times what one core does.
"""

import argparse
import io
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import PIL
from etils import epath
from PIL import Image, features

from sslprune_jax.data import Spec, StreamedBatches, load
from sslprune_jax.data.decode import decode, random_box
from sslprune_jax.runtime import devices, environment, rng

_SHAPE = (224, 224, 3)
_FILES, _COPIES, _BATCH = 32, 32, 128
_AHEAD, _TIMED = 4, 12  # batches: those that threads make ahead, and the timed


def main():
  """Prints lines of JSON."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("what", choices=("libraries", "cores", "reader"))
  parser.add_argument("--repeats", type=int, default=9)
  parser.add_argument("--folder", help="of the set that a reader reads")
  flags = parser.parse_args()
  if flags.what == "reader":
    _read(flags.folder)
    return
  about = {
    "pillow": PIL.__version__,
    "libjpeg_turbo": features.version("libjpeg_turbo"),
    "machine": platform.processor() or platform.machine(),
    "cores": len(os.sched_getaffinity(0)),
  }
  print(json.dumps(about))
  found = (_libraries if flags.what == "libraries" else _cores)(flags.repeats)
  for line in found:
    print(json.dumps(line), flush=True)


def _photographs() -> list[bytes]:
  """Returns JPEG files of 500 x 375: cuts of scikit-learn's two photographs."""
  from sklearn.datasets import load_sample_images

  drawn, found = np.random.default_rng(0), []
  photos = load_sample_images().images
  for number in range(_FILES):
    photo = Image.fromarray(photos[number % len(photos)])
    left = drawn.integers(photo.width - 500)
    top = drawn.integers(photo.height - 375)
    file = io.BytesIO()
    photo.crop((left, top, left + 500, top + 375)).save(
      file, "JPEG", quality=int(drawn.integers(85, 96)), subsampling=2
    )
    found.append(file.getvalue())
  return found


def _ours(data: bytes, seed: int) -> np.ndarray:
  return decode(data, _SHAPE, seed)


def _others() -> dict:
  """Returns the functions bytes -> u8[H,W,3] of what is installed."""
  found = {}
  try:
    import simplejpeg

    found["simplejpeg"] = simplejpeg.decode_jpeg
  except ImportError:
    pass
  try:
    import cv2

    cv2.setNumThreads(1)
    found["opencv"] = lambda data: cv2.imdecode(
      np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB
    )
  except ImportError:
    pass
  try:
    import imagecodecs

    found["imagecodecs"] = imagecodecs.jpeg8_decode
  except ImportError:
    pass
  return found


def _by(read):
  """Returns the decoder that crops and resizes what a library reads."""

  def crop(data: bytes, seed: int) -> np.ndarray:
    pixels = read(data)
    left, top, right, bottom = random_box(*pixels.shape[1::-1], seed)
    part = Image.fromarray(pixels[top:bottom, left:right])
    return np.asarray(part.resize(_SHAPE[:2], Image.Resampling.BILINEAR))

  return crop


def _whole(data: bytes) -> np.ndarray:
  return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _libraries(repeats: int):
  files = _photographs()
  ways = {"ours": _ours, "pillow, whole": _by(_whole)}
  ways |= {name: _by(read) for name, read in _others().items()}
  seconds = {name: [] for name in ways}
  for repeat in range(repeats):
    for name, way in ways.items():
      began = time.thread_time()
      for number, data in enumerate(files):
        way(data, 1000 * repeat + number)
      seconds[name].append((time.thread_time() - began) / len(files))
  base = ways["pillow, whole"]
  for name, way in ways.items():
    apart = [
      np.abs(way(data, seed).astype(int) - base(data, seed))
      for seed, data in enumerate(files)
    ]
    median = statistics.median(seconds[name])
    yield {
      "by": name,
      "milliseconds": round(1e3 * median, 3),
      "times_as_fast": round(statistics.median(seconds["ours"]) / median, 2),
      "most_apart": int(max(each.max() for each in apart)),
      "mean_apart": round(float(np.mean(apart)), 4),
    }


def _prepare(folder: str) -> None:
  """Writes the images as a prepared set."""
  import tensorflow_datasets as tfds

  files = _photographs()

  class Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    name = "photographs"
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = epath.Path(folder)

    def _info(self):
      image = tfds.features.Image(encoding_format="jpeg")
      label = tfds.features.ClassLabel(num_classes=10)
      both = tfds.features.FeaturesDict({"image": image, "label": label})
      return tfds.core.DatasetInfo(builder=self, features=both)

    def _split_generators(self, dl_manager):
      return {"train": self._generate_examples()}

    def _generate_examples(self):
      for number in range(_FILES * _COPIES):
        yield number, {"image": files[number % _FILES], "label": number % 10}

  Photographs(data_dir=folder, file_format="array_record").download_and_prepare(
    download_config=tfds.download.DownloadConfig(num_shards=16)
  )


def _read(folder: str) -> None:
  """Times batches for every line it gets; prints their images a second."""
  environment.prepare()  # As a study does: memory is kept.
  spec = Spec(
    "photographs",
    "train",
    folder,
    image_size=_SHAPE[0],
    workers=len(os.sched_getaffinity(0)),
  )
  source = load(spec)
  feed = StreamedBatches(source, _BATCH, devices.split())
  for turn, _ in enumerate(sys.stdin):
    first = turn * (_AHEAD + _TIMED)
    batches = feed.train(
      lambda epoch: rng.permutation(0, epoch, len(source)),
      first,
      first + 2 * (_AHEAD + _TIMED),  # Threads have more to do to the end.
    )
    for _ in range(_AHEAD):
      jax.block_until_ready(next(batches))
    began = time.perf_counter()
    for _ in range(_TIMED):
      jax.block_until_ready(next(batches))
    rate = _TIMED * _BATCH / (time.perf_counter() - began)
    batches.close()
    print(rate, flush=True)


def _cores(repeats: int):
  own = sorted(os.sched_getaffinity(0))
  counts = [2**power for power in range(len(own).bit_length())]
  counts = [count for count in counts if count <= len(own)]
  # What the machine gives that has cores of threads: as many processes apart.
  ways = [(1, count) for count in counts]
  ways += [(count, 1) for count in counts[1:]]
  with tempfile.TemporaryDirectory() as folder:
    _prepare(folder)
    readers = {
      (processes, cores): [
        _start(folder, own[i * cores : (i + 1) * cores])
        for i in range(processes)
      ]
      for processes, cores in ways
    }
    rates = {way: [] for way in ways}
    for _ in range(repeats + 1):
      for way, each in readers.items():
        for reader in each:
          reader.stdin.write("\n")
          reader.stdin.flush()
        rates[way].append(sum(float(r.stdout.readline()) for r in each))
    for each in readers.values():
      for reader in each:
        reader.communicate()
  # The first turns fill caches.
  found = {way: statistics.median(each[1:]) for way, each in rates.items()}
  for (processes, cores), rate in found.items():
    yield {
      "processes": processes,
      "cores_each": cores,
      "images_a_second": round(rate),
      "of_so_many_times_one_core": round(
        rate / (processes * cores * found[1, 1]), 3
      ),
    }


def _start(folder: str, cores: list[int]) -> subprocess.Popen:
  """Starts a reader on some cores."""
  return subprocess.Popen(
    [sys.executable, __file__, "reader", f"--folder={folder}"],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    cwd=pathlib.Path(__file__).parent.parent,
    preexec_fn=lambda: os.sched_setaffinity(0, cores),
  )


if __name__ == "__main__":
  main()
