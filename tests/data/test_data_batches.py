"""Tests of batches: the same from any update, for any threads and devices."""

import functools
import os
import subprocess
import sys
import threading

import chex
import jax
import numpy as np
import pytest
from image_files import photo, png
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sslprune_jax.data import (
  ArraySource,
  DataError,
  ResidentBatches,
  Spec,
  StreamedBatches,
  batches,
  load,
)
from sslprune_jax.runtime.rng import permutation

SIZE, SHAPE = 23, (6, 6, 3)
ORDER = functools.partial(permutation, 5, size=SIZE)


def arrays():
  images = np.stack([photo(*SHAPE[:2], seed) for seed in range(SIZE)])
  return ArraySource(images, np.arange(SIZE) % 3)


@pytest.fixture
def files(tmp_path):
  for split, count in (("train", SIZE), ("test", 5)):
    folder = tmp_path / split / "only"
    folder.mkdir(parents=True)
    for i in range(count):
      (folder / f"{i:02}.png").write_bytes(png(photo(20, 16, i)))
  return load(Spec("folder", "train", str(tmp_path), image_size=6))


@pytest.fixture
def split():
  mesh = Mesh(np.asarray(jax.devices()), ("devices",))
  return NamedSharding(mesh, PartitionSpec("devices"))


@pytest.fixture(params=["resident", "streamed", "files"])
def feed(request, split):
  def make(batch_size=4, **settings):
    if request.param == "resident":
      return ResidentBatches(arrays(), batch_size, split)
    source = arrays()
    if request.param == "files":
      source = request.getfixturevalue("files")
    return StreamedBatches(source, batch_size, split, seed=9, **settings)

  return make


def on_host(found):
  return [jax.device_get(batch) for batch in found]


def assert_same(found, expected):
  assert len(found) == len(expected)
  for one, other in zip(found, expected, strict=True):
    chex.assert_trees_all_equal(one, other)


def test_training_follows_the_order(feed):
  found = on_host(feed().train(ORDER, 0, 10))
  assert len(found) == 10
  for update, batch in enumerate(found):
    epoch, place = divmod(update, 5)  # 23 // 4
    expected = ORDER(epoch)[place * 4 : place * 4 + 4]
    np.testing.assert_array_equal(batch["index"][0], expected)
    assert batch.keys() == {"image", "label", "index"}


@pytest.mark.parametrize("start", [1, 5, 7])
def test_any_update_can_be_made_again(feed, start):
  whole = on_host(feed().train(ORDER, 0, 12))
  assert_same(on_host(feed().train(ORDER, start, 12)), whole[start:])


def test_resident_and_streamed_batches_are_the_same(split):
  one = ResidentBatches(arrays(), 4, split)
  other = StreamedBatches(arrays(), 4, split)
  assert_same(
    on_host(one.train(ORDER, 0, 7)), on_host(other.train(ORDER, 0, 7))
  )
  assert_same(on_host(one.evaluate()), on_host(other.evaluate()))


@pytest.mark.parametrize("prefetch", [1, 5])
def test_threads_do_not_change_crops(files, split, prefetch):
  def crops(**settings):
    feed = StreamedBatches(files, 4, split, **settings)
    return on_host(feed.train(ORDER, 0, 8))

  expected = crops()
  assert_same(crops(prefetch=prefetch), expected)
  assert not np.array_equal(crops(seed=1)[0]["image"], expected[0]["image"])


def test_an_image_is_cropped_anew_every_epoch(files, split):
  found = on_host(StreamedBatches(files, 23, split).train(ORDER, 0, 2))
  one, other = (b["image"][0][np.argsort(b["index"][0])] for b in found)
  assert (one != other).any((1, 2, 3)).mean() > 0.9


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 24, 64])
def test_evaluation_holds_every_image_once(feed, batch_size):
  found = on_host(feed(batch_size).evaluate())
  assert {b["image"].shape for b in found} == {(1, batch_size, *SHAPE)}
  weight, index = (
    np.concatenate([b[name].ravel() for b in found])
    for name in ("weight", "index")
  )
  assert weight.sum() == SIZE and weight.dtype == np.float32
  np.testing.assert_array_equal(index[weight == 1], np.arange(SIZE))
  np.testing.assert_array_equal(index[weight == 0], SIZE)


def test_evaluation_reads_the_images_of_the_index(split):
  source = arrays()
  for batch in on_host(ResidentBatches(source, 4, split).evaluate()):
    inside = batch["weight"] == 1
    index = batch["index"][inside]
    np.testing.assert_array_equal(batch["image"][inside], source.images[index])
    np.testing.assert_array_equal(batch["label"][inside], source.labels[index])


def test_batches_are_bytes_on_the_devices(feed, split):
  found = [next(feed().train(ORDER, 0, 1)), next(feed().evaluate())]
  for batch in found:
    assert all(leaf.sharding == split for leaf in batch.values())
    assert batch["image"].dtype == np.uint8
    assert batch["label"].dtype == batch["index"].dtype == np.int32


def test_one_compilation_serves_all_batches(split):
  batches._take.cache_clear()
  for _ in range(2):
    feed = ResidentBatches(arrays(), 4, split)
    on_host(feed.train(ORDER, 0, 7))
    on_host(feed.evaluate())
  assert batches._take(split)._cache_size() == 1


def test_make_chooses(files, split):
  assert isinstance(batches.make(arrays(), 4, split), ResidentBatches)
  assert isinstance(batches.make(files, 4, split), StreamedBatches)


def threads():
  return [t for t in threading.enumerate() if t.name.startswith("batches")]


def test_threads_end_when_the_consumer_stops_early(files, split):
  found = StreamedBatches(files, 4, split).train(ORDER, 0, 1000)
  next(found)
  assert threads()
  found.close()
  assert not threads()


def test_a_broken_file_surfaces_in_the_consumer(files, split):
  with open(files._files[ORDER(0)[6]], "wb") as file:
    file.write(b"not an image")
  found = StreamedBatches(files, 4, split).train(ORDER, 0, 5)
  next(found)
  with pytest.raises(DataError, match=r"only/\d\d.png: cannot be decoded"):
    next(found)
  assert not threads()


@pytest.mark.parametrize(
  ("order", "message"),
  [
    (np.arange(SIZE) + 1, "indices: found 23, expected 0 to 22"),
    (np.arange(SIZE) - 1, "indices: found -1, expected 0 to 22"),
    (np.arange(SIZE - 1), "order of epoch 0: found 22 indices, expected 23"),
    (np.zeros(SIZE), "indices: found float64"),
  ],
)
def test_an_order_that_does_not_fit_is_refused(feed, order, message):
  with pytest.raises(DataError, match=message):
    next(feed().train(lambda epoch: order, 0, 1))


def test_a_batch_larger_than_the_source_cannot_train(feed):
  with pytest.raises(DataError, match="found 24, expected at most the 23 imag"):
    feed(24).train(ORDER, 0, 1)


FOUR_DEVICES = """
import sys
import jax, numpy as np
import test_data_batches as tests
from sslprune_jax.data import DataError, ResidentBatches, StreamedBatches
from sslprune_jax.data import Spec, load
from jax.sharding import Mesh, NamedSharding, PartitionSpec

folder, out = sys.argv[1:]
mesh = Mesh(np.asarray(jax.devices()), ("devices",))
split = NamedSharding(mesh, PartitionSpec("devices"))
assert split.num_devices == 4
try:
  ResidentBatches(tests.arrays(), 6, split)
except DataError as error:
  assert str(error) == (
    "batch_size: found 6, expected a multiple of the 4 devices"
  )
else:
  raise AssertionError
files = load(Spec("folder", "train", folder, image_size=6))
feeds = (
  ResidentBatches(tests.arrays(), 8, split),
  StreamedBatches(files, 8, split, seed=9),
)
leaves = []
for feed in feeds:
  for found in (feed.train(tests.ORDER, 1, 5), feed.evaluate()):
    for batch in found:
      assert all(leaf.sharding == split for leaf in batch.values())
      leaves += jax.tree.leaves(jax.device_get(batch))
np.savez(out, *leaves)
"""


def test_four_devices_see_the_batches_of_one(files, split, tmp_path):
  out = tmp_path / "four.npz"
  here = os.path.dirname(__file__)
  root = os.path.dirname(os.path.dirname(here))
  flags = "--xla_force_host_platform_device_count=4"
  subprocess.run(
    [sys.executable, "-c", FOUR_DEVICES, tmp_path, out],
    env=os.environ
    | {
      "XLA_FLAGS": flags,
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": os.pathsep.join([root, f"{root}/tests", here]),
    },
    check=True,
  )
  with np.load(out) as file:
    four = [file[name] for name in file.files]
  leaves = []
  for feed in (
    ResidentBatches(arrays(), 8, split),
    StreamedBatches(files, 8, split, seed=9),
  ):
    for found in (feed.train(ORDER, 1, 5), feed.evaluate()):
      leaves += jax.tree.leaves(on_host(found))
  assert all(leaf.shape[:2] == (4, 2) for leaf in four)
  joined = [
    leaf.reshape(expected.shape)
    for leaf, expected in zip(four, leaves, strict=True)
  ]
  chex.assert_trees_all_equal(joined, leaves)


def test_an_epoch_can_read_every_image_several_times(split):
  feed = batches.make(arrays(), 6, split, reads=3)
  plain = batches.make(arrays(), 2, split)
  assert feed.updates_per_epoch == plain.updates_per_epoch
  found = on_host(feed.train(lambda epoch: np.repeat(ORDER(epoch), 3), 0, 3))
  for three, one in zip(found, on_host(plain.train(ORDER, 0, 3)), strict=True):
    np.testing.assert_array_equal(
      three["index"].ravel(), np.repeat(one["index"].ravel(), 3)
    )
  with pytest.raises(DataError, match="indices, expected"):
    next(feed.train(ORDER, 0, 1))
