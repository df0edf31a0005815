"""Functions of images refuse, when traced, arrays of another rank or dtype."""

import functools

import chex
import jax
import numpy as np
import pytest

from sslprune_jax import data
from sslprune_jax.data import augment, colour

KEYS = jax.random.split(jax.random.key(0), 4)
IMAGES = np.zeros((4, 6, 6, 3), np.uint8)
OF_BATCHES = {
  "random_crop": functools.partial(augment.random_crop, padding=1),
  "random_flip": augment.random_flip,
  "random_resized_crop": augment.random_resized_crop,
  "random_rotation": functools.partial(augment.random_rotation, degrees=5.0),
  "colour_jitter": functools.partial(
    colour.colour_jitter, strengths=(0.1, 0.1, 0.1, 0.1)
  ),
  "random_grey": functools.partial(colour.random_grey, probability=0.5),
  "Augment": data.Augment(flip=True),
}


@pytest.mark.parametrize("change", OF_BATCHES.values(), ids=OF_BATCHES.keys())
def test_a_batch_is_images_of_bytes_with_a_key_each(change):
  shapes = functools.partial(jax.eval_shape, change)
  assert shapes(KEYS, IMAGES).shape == IMAGES.shape
  with pytest.raises(AssertionError, match="has rank 3 .* but expected 4"):
    shapes(KEYS, IMAGES[0])
  with pytest.raises(AssertionError, match="has rank 0 .* but expected 1"):
    shapes(KEYS[0], IMAGES)
  with pytest.raises(AssertionError, match="float32 but expected uint8"):
    shapes(KEYS, IMAGES.astype(np.float32))
  with pytest.raises(AssertionError, match="shape"):
    shapes(KEYS[:3], IMAGES)


def test_a_box_is_drawn_with_one_key():
  with pytest.raises(AssertionError, match="has rank 1 .* but expected 0"):
    augment.random_box(KEYS, 6, 6, (0.1, 1.0), (0.5, 2.0))


@pytest.mark.parametrize(
  ("images", "message"),
  [
    (IMAGES[0, 0, 0, 0], r"\(3,\) is not broadcastable to shape \(\)"),
    (IMAGES[..., :2], r"\(3,\) is not broadcastable to shape \(4, 6, 6, 2\)"),
    (IMAGES.astype(np.float32), "float32 but expected uint8"),
  ],
  ids=["rank", "channels", "dtype"],
)
def test_normalise_takes_bytes_of_as_many_channels(images, message):
  with pytest.raises(AssertionError, match=message):
    data.normalise(images, (0.5,) * 3, (0.2,) * 3)


def test_one_mean_is_that_of_all_channels():
  chex.assert_trees_all_equal(
    data.normalise(IMAGES, (0.5,), (0.2,)),
    data.normalise(IMAGES, (0.5,) * 3, (0.2,) * 3),
  )
