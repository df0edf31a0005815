"""Tests of augmentation against NumPy, on the same draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from image_files import photo

from sslprune_jax.data import Augment, augment, normalise

BATCH = 24
IMAGES = np.stack([photo(14, 10, seed) for seed in range(BATCH)])
RATIO = (3 / 4, 4 / 3)
KEYS = jax.random.split(jax.random.key(3), BATCH)


def test_random_crop_is_a_window_of_the_padded_image():
  padding = 3
  cropped = jax.jit(augment.random_crop, static_argnums=2)(
    KEYS, IMAGES, padding
  )
  places = set()
  for key, image, found in zip(KEYS, IMAGES, cropped, strict=True):
    y, x = np.asarray(jax.random.randint(key, (2,), 0, 2 * padding + 1))
    padded = np.pad(image, ((3, 3), (3, 3), (0, 0)))
    np.testing.assert_array_equal(found, padded[y : y + 14, x : x + 10])
    places |= {int(y), int(x)}
  assert places == set(range(7))


def test_random_flip_mirrors_about_half():
  flipped = np.asarray(augment.random_flip(KEYS, IMAGES))
  same = (flipped == IMAGES).all((1, 2, 3))
  mirrored = (flipped == IMAGES[:, :, ::-1]).all((1, 2, 3))
  np.testing.assert_array_equal(same, ~mirrored)
  assert same.any() and mirrored.any()
  keys = jax.random.split(jax.random.key(0), 1000)
  line = np.tile(np.uint8([0, 1])[None, None, :, None], (1000, 1, 1, 1))
  share = np.mean(augment.random_flip(keys, line)[:, 0, 0, 0])
  assert 0.45 < share < 0.55


def bilinear(image, top, left, h, w):
  """Resizes a box to the size of the image, sample by sample."""
  height, width, _ = image.shape
  y = np.clip(top + (np.arange(height) + 0.5) * h / height - 0.5, 0, height - 1)
  x = np.clip(left + (np.arange(width) + 0.5) * w / width - 0.5, 0, width - 1)
  y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
  y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
  dy, dx = (y - y0)[:, None, None], (x - x0)[None, :, None]
  rows = image[y0] * (1 - dy) + image[y1] * dy
  return rows[:, x0] * (1 - dx) + rows[:, x1] * dx


def test_random_resized_crop_is_bilinear_in_its_box():
  cropped = jax.jit(augment.random_resized_crop)(KEYS, IMAGES)
  assert cropped.dtype == jnp.uint8
  for key, image, found in zip(KEYS, IMAGES, cropped, strict=True):
    box = augment.random_box(key, 14, 10, (0.08, 1.0), RATIO)
    expected = bilinear(image.astype(float), *map(float, box))
    # A value at one half may be rounded either way.
    assert np.abs(np.asarray(found) - expected).max() < 0.51


def test_the_whole_image_is_itself():
  whole = jax.jit(augment.random_resized_crop, static_argnums=(2, 3))(
    KEYS, IMAGES, (1.0, 1.0), (0.714, 0.7143)
  )
  np.testing.assert_array_equal(whole, IMAGES)


def test_boxes_lie_in_the_image_and_spread():
  keys = jax.random.split(jax.random.key(0), 5000)
  draw = functools.partial(
    augment.random_box, height=32, width=32, scale=(0.08, 1), ratio=RATIO
  )
  top, left, h, w = jax.jit(jax.vmap(draw))(keys)
  assert (top >= 0).all() and (left >= 0).all() and (h > 0).all()
  assert (top + h <= 32).all() and (left + w <= 32).all()
  area = np.asarray(h * w) / 1024
  assert 0.06 < area.min() < 0.1 and area.max() > 0.9
  assert abs(np.log(w / h).mean()) < 0.02


@pytest.mark.parametrize(
  "settings",
  [
    {},
    {"padding": 2},
    {"flip": True},
    {"crop_scale": (0.5, 1.0)},
    {"padding": 2, "flip": True, "crop_scale": (0.5, 1.0)},
  ],
)
def test_what_happens_to_an_image_is_its_own(settings):
  transform = Augment(**settings)
  together = jax.jit(transform)(KEYS, IMAGES)
  assert together.dtype == jnp.uint8 and together.shape == IMAGES.shape
  half = jax.jit(transform)(KEYS[::2], IMAGES[::2])
  np.testing.assert_array_equal(together[::2], half)
  assert np.array_equal(together, IMAGES) == (not settings)


def test_grey_images():
  augmented = jax.eval_shape(
    Augment(2, True, (0.5, 1.0)), KEYS, IMAGES[..., :1]
  )
  assert augmented.shape == (BATCH, 14, 10, 1)


def test_purposes_draw_from_separate_streams():
  both = Augment(padding=3, flip=True)(KEYS, IMAGES)
  one = Augment(padding=3)(KEYS, IMAGES)
  np.testing.assert_array_equal(Augment(flip=True)(KEYS, one), both)
  folded = jax.vmap(lambda k: jax.random.fold_in(k, 0))(KEYS)
  np.testing.assert_array_equal(augment.random_crop(folded, IMAGES, 3), one)


def test_under_pmap_and_vmap():
  transform = Augment(2, True, (0.5, 1.0))
  expected = jax.jit(transform)(KEYS, IMAGES)
  for mapped in (jax.jit(jax.vmap(transform)), jax.pmap(transform)):
    np.testing.assert_array_equal(mapped(KEYS[None], IMAGES[None])[0], expected)


def test_normalise_is_in_units_of_the_full_range():
  mean, std = (0.1, 0.5, 0.9), (0.2, 0.25, 0.3)
  normalised = jax.jit(normalise, static_argnums=(1, 2))(IMAGES, mean, std)
  assert normalised.dtype == jnp.float32
  expected = (IMAGES / 255 - np.array(mean)) / np.array(std)
  np.testing.assert_allclose(normalised, expected, atol=2e-6)
