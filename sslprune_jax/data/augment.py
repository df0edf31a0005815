"""Augmentation and normalisation of batches, on the device, pure.

Every image has a key of its own, so that what happens to it depends neither on
its neighbours nor on the number of devices.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from sslprune_jax.data import colour

# Folded into an image's key: its streams.
_CROP, _FLIP, _RESIZE, _ROTATE, _JITTER, _GREY = range(6)
_ATTEMPTS = 10
_RATIO = (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True)
class Augment:
  """Augmentations of a batch; the default is none.

  Attributes:
    padding: pixels of black around an image from which it is cut again.
    flip: whether to mirror every other image, at random.
    crop_scale: smallest and largest share of the area of a random resized
      crop. For sources that do not crop by themselves (`Source.crops`).
    rotation: largest angle to either side, in degrees.
    jitter: strengths of brightness, contrast, saturation and hue; see
      `colour.colour_jitter`.
    grey: probability of taking the colour away, in [0, 1].
  """

  padding: int = 0
  flip: bool = False
  crop_scale: tuple[float, float] | None = None
  rotation: float = 0.0
  jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
  grey: float = 0.0

  def __call__(self, keys: jax.Array, images: jax.Array) -> jax.Array:
    """Augments a batch.

    Args:
      keys: key[B], whose folds 0 to 5 are used nowhere else.
      images: u8[B,H,W,C].

    Returns:
      u8[B,H,W,C].
    """
    colour.check_batch(keys, images)
    fold = functools.partial(jax.vmap(jax.random.fold_in, (0, None)), keys)
    if self.crop_scale is not None:
      images = random_resized_crop(fold(_RESIZE), images, self.crop_scale)
    if self.padding:
      images = random_crop(fold(_CROP), images, self.padding)
    if self.flip:
      images = random_flip(fold(_FLIP), images)
    if self.rotation:
      images = random_rotation(fold(_ROTATE), images, self.rotation)
    if any(self.jitter):
      images = colour.colour_jitter(fold(_JITTER), images, self.jitter)
    if self.grey:
      images = colour.random_grey(fold(_GREY), images, self.grey)
    return images


def random_crop(keys: jax.Array, images: jax.Array, padding: int) -> jax.Array:
  """Pads with black and crops back to the size at a random place.

  Args:
    keys: key[B].
    images: u8[B,H,W,C].
    padding: width of the black border, in pixels.

  Returns:
    u8[B,H,W,C].
  """
  colour.check_batch(keys, images)
  pad = (padding, padding)

  def crop(key, image):
    padded = jnp.pad(image, (pad, pad, (0, 0)))
    y, x = jax.random.randint(key, (2,), 0, 2 * padding + 1)
    # Faster than a gather, and than a matrix product with one-hot rows.
    return jax.lax.dynamic_slice(padded, (y, x, 0), image.shape)

  return jax.vmap(crop)(keys, images)


def random_flip(keys: jax.Array, images: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability one half.

  Args:
    keys: key[B].
    images: u8[B,H,W,C].

  Returns:
    u8[B,H,W,C].
  """
  colour.check_batch(keys, images)
  flip = jax.vmap(jax.random.bernoulli)(keys)
  return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)


def random_resized_crop(
  keys: jax.Array,
  images: jax.Array,
  scale: tuple[float, float] = (0.08, 1.0),
  ratio: tuple[float, float] = _RATIO,
) -> jax.Array:
  """Cuts out a random box and enlarges it to the size of the image.

  Bilinear. A box is never larger than the image, so there is nothing to
  antialias.

  Args:
    keys: key[B].
    images: u8[B,H,W,C].
    scale: smallest and largest share of the area, in (0, 1].
    ratio: smallest and largest width / height.

  Returns:
    u8[B,H,W,C], rounded.

  Reference: torchvision's RandomResizedCrop; arXiv 1409.4842, section 6.
  """
  colour.check_batch(keys, images)
  height, width, channels = images.shape[1:]

  def crop(key, image):
    top, left, h, w = random_box(key, height, width, scale, ratio)
    enlarge = jnp.stack([height / h, width / w])
    image = jax.image.scale_and_translate(
      image.astype(jnp.float32),
      (height, width, channels),
      spatial_dims=(0, 1),
      scale=enlarge,
      translation=-jnp.stack([top, left]) * enlarge,
      method="linear",
      antialias=False,
    )
    return colour.to_bytes(image)

  return jax.vmap(crop)(keys, images)


def random_box(
  key: jax.Array,
  height: int,
  width: int,
  scale: tuple[float, float],
  ratio: tuple[float, float],
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """Draws the box of a random resized crop.

  The first of ten attempts that fits; if none does, the whole image.

  Args:
    key: key[].
    height: height of the image, in pixels.
    width: width of the image, in pixels.
    scale: smallest and largest share of the area, in (0, 1].
    ratio: smallest and largest width / height.

  Returns:
    top, left, height and width, f32[] each, whole numbers of pixels.
  """
  chex.assert_rank(key, 0, custom_message="key")
  share, shape, y, x = jax.random.uniform(key, (4, _ATTEMPTS))
  area = height * width * (scale[0] + share * (scale[1] - scale[0]))
  low, high = math.log(ratio[0]), math.log(ratio[1])
  root = jnp.exp((low + shape * (high - low)) / 2)
  w, h = jnp.round(jnp.sqrt(area) * root), jnp.round(jnp.sqrt(area) / root)
  fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
  first, any_fits = jnp.argmax(fits), jnp.any(fits)
  h = jnp.where(any_fits, h[first], height)
  w = jnp.where(any_fits, w[first], width)
  top = jnp.floor(y[first] * (height - h + 1))
  left = jnp.floor(x[first] * (width - w + 1))
  return top, left, h, w


def random_rotation(
  keys: jax.Array, images: jax.Array, degrees: float
) -> jax.Array:
  """Turns each image about its centre by a random angle, bilinearly.

  What comes in at the corners repeats the nearest pixel of the border.

  Args:
    keys: key[B].
    images: u8[B,H,W,C].
    degrees: largest angle to either side.

  Returns:
    u8[B,H,W,C], rounded.
  """
  colour.check_batch(keys, images)
  height, width = images.shape[1:3]
  y, x = jnp.meshgrid(
    jnp.arange(height) - (height - 1) / 2,
    jnp.arange(width) - (width - 1) / 2,
    indexing="ij",
  )

  def rotate(key, image):
    angle = jax.random.uniform(key, minval=-degrees, maxval=degrees)
    sine, cosine = jnp.sin(jnp.radians(angle)), jnp.cos(jnp.radians(angle))
    at_y = cosine * y - sine * x + (height - 1) / 2
    at_x = sine * y + cosine * x + (width - 1) / 2
    at_y, at_x = at_y.clip(0, height - 1), at_x.clip(0, width - 1)
    top = jnp.floor(at_y).astype(jnp.int32).clip(0, max(height - 2, 0))
    left = jnp.floor(at_x).astype(jnp.int32).clip(0, max(width - 2, 0))
    down, right = (at_y - top)[..., None], (at_x - left)[..., None]
    image = image.astype(jnp.float32)
    below, beside = min(height - 1, 1), min(width - 1, 1)
    upper = image[top, left] * (1 - right) + image[top, left + beside] * right
    top = top + below
    lower = image[top, left] * (1 - right) + image[top, left + beside] * right
    return colour.to_bytes(upper * (1 - down) + lower * down)

  return jax.vmap(rotate)(keys, images)


def normalise(
  images: jax.Array, mean: Sequence[float], std: Sequence[float]
) -> jax.Array:
  """Turns bytes into numbers of mean 0 and deviation 1.

  Args:
    images: u8[..., C].
    mean: mean of each channel, or one for all; the full range is 0 to 1.
    std: standard deviation of each channel, or one for all, in these units.

  Returns:
    f32[..., C].
  """
  chex.assert_type(images, jnp.uint8, custom_message="images")
  for numbers in (mean, std):
    chex.assert_is_broadcastable((len(numbers),), images.shape)
  axes = (1,) * (images.ndim - 1) + (-1,)
  mean, std = (jnp.asarray(v, jnp.float32).reshape(axes) for v in (mean, std))
  return (images.astype(jnp.float32) / 255 - mean) / std


def make_normalise(dataset: ConfigDict) -> Callable[[jax.Array], jax.Array]:
  """Returns `normalise` by the mean and the deviation of a data set.

  Args:
    dataset: section such as `config.dataset`, with `mean` and `std`.
  """
  return functools.partial(normalise, mean=dataset.mean, std=dataset.std)
