"""A folder of JPEG files to crops of 224, by two workers."""

import atexit
import math
import pathlib
import random
import shutil
import tempfile

import numpy as np

_COUNT, _BATCH = 512, 64


def _folder():
  """Makes JPEG files of 500 x 375, as many of ImageNet's are."""
  from PIL import Image

  folder = pathlib.Path(tempfile.mkdtemp(prefix="benchmark_images_"))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  for number in range(_COUNT):
    rng = np.random.default_rng(number)
    # Smooth shapes under fine grain: files of about the size of photographs.
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    image = Image.fromarray(coarse).resize((500, 375), Image.BICUBIC)
    grain = rng.normal(0, 12, (375, 500, 3))
    image = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    where = folder / f"class_{number % 8}"
    where.mkdir(exist_ok=True)
    Image.fromarray(image).save(where / f"{number:04d}.jpg", quality=90)
  return folder


class Ours:
  """Our batches of a folder, put on the device."""

  def __init__(self):
    """Lists the folder."""
    from sslprune_jax import data
    from sslprune_jax.runtime import devices

    folder = str(_folder())
    source = data.load(
      data.Spec("folder", "train", folder, image_size=224, workers=2)
    )
    self._feed = data.StreamedBatches(source, _BATCH, devices.split(), seed=0)
    self._size, self._epoch = len(source), 0

  def answer(self):
    """Returns the mean of the crops, over an epoch."""
    return {"mean": self.run()}

  def run(self):
    """Reads an epoch; returns the mean of its bytes."""
    from sslprune_jax.runtime import rng as rng_lib

    updates = self._feed.updates_per_epoch
    first = self._epoch * updates
    self._epoch += 1
    means = [
      float(np.asarray(batch["image"]).mean())
      for batch in self._feed.train(
        lambda epoch: rng_lib.permutation(0, epoch, self._size),
        first,
        first + updates,
      )
    ]
    return float(np.mean(means))


class Loader:
  """PyTorch's DataLoader with two processes; crops as torchvision's."""

  def __init__(self):
    """Lists as many files, the same four fifths."""
    import torch

    from sslprune_jax import data

    folder = str(_folder())
    source = data.load(
      data.Spec("folder", "train", folder, image_size=224, workers=2)
    )
    self._loader = torch.utils.data.DataLoader(
      _Files(source._files),  # The list; files are read by the peer itself.
      batch_size=_BATCH,
      shuffle=True,
      drop_last=True,
      num_workers=2,
      persistent_workers=True,
    )

  def answer(self):
    """Returns the mean of the crops, over an epoch."""
    return {"mean": self.run()}

  def run(self):
    """Reads an epoch; returns the mean of its bytes."""
    return float(np.mean([b.float().mean().item() for b in self._loader]))


class _Files:
  def __init__(self, files):
    self._files = files

  def __len__(self):
    return len(self._files)

  def __getitem__(self, index):
    import torch
    from PIL import Image

    with Image.open(self._files[index]) as image:
      image = image.convert("RGB")
    box = _box(*image.size)
    # Of torchvision's filters the one that ours uses.
    image = image.resize((224, 224), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def _box(width, height):
  """Draws torchvision's RandomResizedCrop."""
  for _ in range(10):
    area = width * height * random.uniform(0.08, 1)
    ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
    w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < w <= width and 0 < h <= height:
      left, top = random.randint(0, width - w), random.randint(0, height - h)
      return left, top, left + w, top + h
  side = min(width, height)
  return 0, 0, side, side


CASES = {
  "images": {
    "ours": Ours,
    "peer": Loader,
    "ours_is": "410 JPEG files of 500 x 375 to crops of 224, two threads",
    "peer_is": "PyTorch's DataLoader with Pillow, two processes",
    "target": 1.0,
    "tolerance": 0.05,  # Other crops are drawn.
    "most": 15,
  }
}
