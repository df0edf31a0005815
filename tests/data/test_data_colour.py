"""Colour and rotation against colorsys, SciPy and torchvision's formulas."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sslprune_jax import data
from sslprune_jax.data import augment, colour

RNG = np.random.default_rng(0)
KEYS = jax.random.split(jax.random.key(0), 6)


def _images(channels=3, size=9):
  return RNG.integers(0, 256, (6, size, size, channels), np.uint8)


def _drawn(key):
  return np.asarray(jax.random.uniform(key, (4,), minval=-1.0))


def test_rotation_is_scipys_by_the_same_angle():
  # Smooth, so that what is compared is not the rounding.
  grid = np.indices((12, 12)).sum(0) * 8.0 + np.eye(12) * 30
  images = np.repeat(grid[None, ..., None], 6, axis=0).astype(np.uint8)
  found = np.asarray(augment.random_rotation(KEYS, images, 20.0))
  for key, image, turned in zip(KEYS, images, found, strict=True):
    angle = float(jax.random.uniform(key, minval=-20.0, maxval=20.0))
    expected = ndimage.rotate(
      image[..., 0].astype(float),
      -angle,
      reshape=False,
      order=1,
      mode="nearest",
    )
    np.testing.assert_allclose(turned[..., 0], expected, atol=0.6)
  assert (found != images).any()


def test_no_rotation_is_the_image():
  images = _images()
  np.testing.assert_array_equal(
    augment.random_rotation(KEYS, images, 0.0), images
  )


def test_brightness_contrast_and_saturation_are_torchvisions():
  images, weights = _images(), np.array([0.299, 0.587, 0.114])
  strengths = (0.4, 0.3, 0.5)
  found = colour.colour_jitter(KEYS, images, (*strengths, 0.0))
  for key, image, changed in zip(KEYS, images, found, strict=True):
    factors = 1 + np.array(strengths) * _drawn(key)[:3]
    image = np.clip(image * factors[0], 0, 255)
    mean = (image @ weights).mean()
    image = np.clip(mean + factors[1] * (image - mean), 0, 255)
    grey = (image @ weights)[..., None]
    image = np.clip(grey + factors[2] * (image - grey), 0, 255)
    np.testing.assert_allclose(changed, image, atol=0.51)


def test_factors_of_strengths_above_one_are_drawn_from_what_is_left():
  # [0, 2.5]: clipped at 0 from [-0.5, 2.5], a sixth of the images was black.
  keys = jax.random.split(jax.random.key(0), 600)
  images = np.full((600, 2, 2, 1), 100, np.uint8)
  found = colour.colour_jitter(keys, images, (1.5, 0.0, 0.0, 0.0))
  found = np.asarray(found)[:, 0, 0, 0].astype(int)
  assert (found == 0).mean() < 0.02
  below = [(found < 100 * factor).mean() for factor in (0.5, 1.0, 2.0)]
  np.testing.assert_allclose(below, [0.2, 0.4, 0.8], atol=0.05)


def test_hue_turns_as_in_colorsys():
  images = _images()
  images[0, :2] = 128  # Grey has no hue.
  found = colour.colour_jitter(KEYS, images, (0.0, 0.0, 0.0, 0.5))
  for key, image, changed in zip(KEYS, images, found, strict=True):
    turn = 0.5 * _drawn(key)[3]
    for pixel, got in zip(
      image.reshape(-1, 3) / 255, np.reshape(changed, (-1, 3)), strict=True
    ):
      hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
      rgb = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
      np.testing.assert_allclose(got, np.multiply(rgb, 255), atol=0.51)


def test_hue_is_the_same_when_rotation_is_compiled_with_it():
  # Compiled together, the rotated pixel is computed once for each of its uses,
  # and the last bits differ. A rotated value at one half may be rounded either
  # way; a hue of the wrong sector is off by up to 200.
  strengths = (0.4, 0.4, 0.4, 0.1)
  both = data.Augment(rotation=10.0, jitter=strengths)
  keys = jax.random.split(jax.random.key(0), 32)
  images = RNG.integers(0, 256, (32, 16, 16, 3), np.uint8)
  together = np.asarray(jax.jit(both)(keys, images), np.int32)
  turned = jax.jit(data.Augment(rotation=10.0))(keys, images)
  one_by_one = jax.jit(data.Augment(jitter=strengths))(keys, turned)
  assert np.abs(together - np.asarray(one_by_one, np.int32)).max() <= 4


def test_strengths_of_zero_change_nothing():
  images = _images()
  np.testing.assert_array_equal(
    colour.colour_jitter(KEYS, images, (0.0, 0.0, 0.0, 0.0)), images
  )
  np.testing.assert_array_equal(colour.random_grey(KEYS, images, 0.0), images)


def test_grey_takes_all_colour_away():
  images = _images()
  found = np.asarray(colour.random_grey(KEYS, images, 1.0))
  np.testing.assert_array_equal(found[..., :1].repeat(3, axis=-1), found)
  expected = images @ np.array([0.299, 0.587, 0.114])
  np.testing.assert_allclose(found[..., 0], expected, atol=0.51)
  some = np.asarray(colour.random_grey(KEYS, images, 0.5))
  is_grey = (some[..., :1] == some).all(axis=(1, 2, 3))
  assert 0 < is_grey.sum() < 6


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_does_not_depend_on_its_neighbours(channels):
  transform = data.Augment(
    rotation=15.0, jitter=(0.4, 0.4, 0.4, 0.1), grey=0.5, padding=1, flip=True
  )
  images = jnp.asarray(_images(channels))
  together = transform(KEYS, images)
  assert together.dtype == jnp.uint8 and together.shape == images.shape
  for i in range(6):
    alone = transform(KEYS[i : i + 1], images[i : i + 1])
    np.testing.assert_array_equal(alone[0], together[i])
