"""What transfer costs: extraction beside the bare forward pass, and probes.

  python benchmarks/transfer.py

Extraction: a whole set through `features.extraction.extract`, against the same
number of forward passes of one batch that lies on the device; the median of
ratios taken side by side. Two sets lie in memory; the third is JPEG files of
500 x 375, decoded by the same cores that run the network.

Probe: 28 epochs of the linear classifier on 50,000 x 512 features of ten
overlapping classes, against scikit-learn's SGDClassifier for as many epochs and
its LogisticRegression, with the test accuracy of each.
"""

import argparse
import atexit
import functools
import json
import os
import pathlib
import shutil
import tempfile
import time
import warnings

import jax
import numpy as np
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.preprocessing import StandardScaler

from sslprune_jax import data, models
from sslprune_jax.data import batches
from sslprune_jax.features import extraction
from sslprune_jax.runtime import devices, environment
from sslprune_jax.runtime import rng as rng_lib
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state
from sslprune_jax.transfer import logistic

_BATCH = 256
_EPOCHS = 28


def extracting(repeats):
  """Prints the ratio of extraction to bare forward passes."""
  for name, batch_size, source in (
    ("convnet", 256, _arrays(60 * 256, (28, 28, 1))),
    ("resnet18", 256, _arrays(6 * 256, (32, 32, 3))),
    ("resnet50", 32, _photos(4 * 32)),
  ):
    network = models.build(name, 1)
    channels = source.image_shape[-1]
    normalise = functools.partial(
      data.normalise, mean=(0.5,) * channels, std=(0.25,) * channels
    )
    step = extraction.make_step(network, normalise)
    variables = devices.replicate(
      state.initialize(network, source.image_shape, jax.random.key(0))
    )
    whole = functools.partial(_whole, step, variables, source, batch_size)
    feed = batches.make(source, batch_size, devices.split())
    bare = functools.partial(
      _bare, step, variables, next(iter(feed.evaluate())), len(feed.source)
    )
    whole(), bare()  # compiled
    ratios = [_seconds(whole) / _seconds(bare) for _ in range(repeats)]
    _say(
      network=name,
      images=len(source),
      of=source.image_shape,
      extraction_over_forward=round(float(np.median(ratios)), 3),
    )


def _arrays(size, shape):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (size, *shape), np.uint8)
  return data.ArraySource(images, rng.integers(0, 10, size))


def _photos(size):
  """Returns JPEG files as ImageNet has them, cropped to 224 x 224."""
  rng = np.random.default_rng(0)
  folder = pathlib.Path(tempfile.mkdtemp(prefix="sslprune_jax_"))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  for split in ("train", "test"):
    (folder / split / "photo").mkdir(parents=True)
  for number in range(size):
    noise = rng.integers(0, 256, (15, 20, 3), np.uint8)
    photo = Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)
    photo.save(folder / f"train/photo/{number}.jpg", quality=90)
  photo.save(folder / "test/photo/0.jpg")
  return data.load(
    data.Spec("folder", "train", data_dir=str(folder), image_size=224)
  )


def _whole(step, variables, source, batch_size):
  found = extraction.extract(step, variables, source, batch_size)
  jax.block_until_ready(found.rows)


def _bare(step, variables, batch, size):
  for _ in range(size // batch["label"].size):
    out = step(variables, batch)
  jax.block_until_ready(out)


def probing(repeats):
  """Prints the times and accuracies of three linear classifiers."""
  train, test = _mixture(50_000, seed=1), _mixture(10_000, seed=2)
  runs = {"ours": _ours, "SGDClassifier": _sgd, "LogisticRegression": _newton}
  accuracy = {name: run(train, test) for name, run in runs.items()}
  times = [
    {name: _seconds(run, train, test) for name, run in runs.items()}
    for _ in range(repeats)
  ]
  for name in runs:
    ratios = [time["ours"] / time[name] for time in times]
    _say(
      classifier=name,
      test_accuracy=round(accuracy[name], 4),
      our_time_over_its=round(float(np.median(ratios)), 3),
    )


def _mixture(size, seed):
  """Returns features f32[N,512] of ten classes that overlap, and labels."""
  centres = np.random.default_rng(0).normal(size=(10, 512)) * 0.2
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 10, size)
  noise = rng.normal(size=(size, 512)) * rng.uniform(0.5, 2, 512)
  return np.float32(centres[labels] + noise), labels


def _ours(train, test):
  x, y = train
  order = functools.partial(rng_lib.permutation, 0, size=len(x))
  length = _EPOCHS * (len(x) // _BATCH)
  optimizer = optimizer_lib.optimizer("sgd", weight_decay=5e-4)
  milestones = [length * of // _EPOCHS for of in (8, 16, 24)]
  epoch = _compile(length, tuple(milestones))
  rows = jax.device_put(x[None], devices.split())
  labels = jax.device_put(y.astype(np.int32), devices.replicated_sharding())
  classifier = logistic.create(rows, np.arange(len(x), dtype=np.int32), 10)
  opt_state = optimizer.init(classifier.params)
  for number in range(_EPOCHS):
    index = order(epoch=number)[: len(x) // _BATCH * _BATCH]
    index = index.reshape(-1, _BATCH)
    classifier, opt_state, _ = epoch(
      classifier,
      opt_state,
      rows,
      labels,
      index,
      np.int32(number * len(index)),
    )
  found = logistic.scores(
    classifier, test[0][None], test[1][None].astype(np.int32)
  )
  return float(found["accuracy"])


@functools.cache
def _compile(length, milestones):
  optimizer = optimizer_lib.optimizer("sgd", weight_decay=5e-4)
  schedule = optimizer_lib.schedule(
    "step", 0.01, length=length, milestones=list(milestones)
  )
  return logistic.make_epoch(optimizer, schedule)


def _sgd(train, test):
  model = SGDClassifier(
    loss="log_loss", max_iter=_EPOCHS, tol=None, n_jobs=-1, random_state=0
  )
  return _fitted(model, train, test)


def _newton(train, test):
  return _fitted(LogisticRegression(max_iter=100), train, test)


def _fitted(model, train, test):
  scale = StandardScaler().fit(train[0])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(scale.transform(train[0]), train[1])
  return float(model.score(scale.transform(test[0]), test[1]))


def _seconds(run, *arguments):
  start = time.perf_counter()
  run(*arguments)
  return time.perf_counter() - start


def _say(**line):
  print(json.dumps(line | {"load": round(os.getloadavg()[0], 2)}), flush=True)


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--repeats", type=int, default=5)
  flags = parser.parse_args()
  environment.prepare()
  extracting(flags.repeats)
  probing(flags.repeats)
