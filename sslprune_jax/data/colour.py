"""Colour augmentation of batches, on the device, pure."""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

_GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow and torchvision weigh


def check_batch(keys: jax.Array, images: jax.Array) -> None:
  """Refuses what is not a batch of images with a key each; when traced.

  Args:
    keys: key[B].
    images: u8[B,H,W,C].

  Raises:
    AssertionError: another rank, dtype or number of keys.
  """
  chex.assert_rank([keys, images], [1, 4], custom_message="keys, images")
  chex.assert_type(images, jnp.uint8, custom_message="images")
  chex.assert_equal_shape_prefix([keys, images], 1)


def colour_jitter(
  keys: jax.Array, images: jax.Array, strengths: Sequence[float]
) -> jax.Array:
  """Changes brightness, contrast, saturation and hue at random.

  In this order; torchvision's, which is random, would make a batch of images
  that each need another program. Grey images have neither saturation nor hue.

  Args:
    keys: key[B].
    images: u8[B,H,W,C], C of 1 or 3.
    strengths: b, c, s and h: factors are drawn from [max(0, 1 - b), 1 + b] and
      so on, the shift of the hue from [-h, h], in turns of the colour circle.

  Returns:
    u8[B,H,W,C], rounded.

  Reference: torchvision's ColorJitter.
  """
  check_batch(keys, images)
  *factors, hue = strengths

  def jitter(key, image):
    drawn = jax.random.uniform(key, (4,), minval=-1.0)
    bright, contrast, saturation = map(_factor, factors, drawn[:3])
    image = (image.astype(jnp.float32) * bright).clip(0, 255)
    mean = _grey(image).mean()
    image = (mean + contrast * (image - mean)).clip(0, 255)
    if image.shape[-1] == 3:
      grey = _grey(image)
      image = (grey + saturation * (image - grey)).clip(0, 255)
      if hue:
        image = _shift_hue(image, hue * drawn[3])
    return to_bytes(image)

  return jax.vmap(jitter)(keys, images)


def _factor(strength: float, drawn: jax.Array) -> jax.Array:
  """Lays f32[] of [-1, 1) over [max(0, 1 - strength), 1 + strength]."""
  if strength <= 1:
    return 1 + strength * drawn
  return (1 + strength) * (1 + drawn) / 2


def random_grey(
  keys: jax.Array, images: jax.Array, probability: float
) -> jax.Array:
  """Turns some images grey, at random.

  Args:
    keys: key[B].
    images: u8[B,H,W,C], C of 1 or 3.
    probability: share of the images, in [0, 1]; each is drawn by itself.

  Returns:
    u8[B,H,W,C], all channels of a grey image alike.
  """
  check_batch(keys, images)
  chosen = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(keys)
  grey = to_bytes(_grey(images.astype(jnp.float32)))
  grey = jnp.broadcast_to(grey, images.shape)
  return jnp.where(chosen[:, None, None, None], grey, images)


def to_bytes(images: jax.Array) -> jax.Array:
  """Rounds f32[...] to u8[...], 0 to 255.

  A little off one half: at simple ratios many values lie exactly there, and the
  last bit of a float, which may depend on the number of devices, must not
  decide.
  """
  chex.assert_type(images, jnp.float32, custom_message="images")
  return jnp.floor(images + 0.501).clip(0, 255).astype(jnp.uint8)


def _grey(images: jax.Array) -> jax.Array:
  """Returns f32[..., 1]."""
  if images.shape[-1] == 1:
    return images
  return sum(w * images[..., i : i + 1] for i, w in enumerate(_GREY))


def _shift_hue(image: jax.Array, turn: jax.Array) -> jax.Array:
  """Turns the hue of f32[H,W,3], 0 to 255, by a share of the circle."""
  # Every channel of a colour of hue t, saturation and value fixed, is
  # high - spread * clip(...) at its own phase: no cases, unlike colorsys.
  red, green, blue = image[..., 0], image[..., 1], image[..., 2]
  high, low = image.max(axis=-1), image.min(axis=-1)
  spread = high - low
  safe = jnp.where(spread > 0, spread, 1)
  # Not `high == red`: a compiler that computes a pixel once for each of its
  # uses may get two that differ in the last bit. Near a tie both cases agree.
  hue = jnp.where(
    (red >= green) & (red >= blue),
    (green - blue) / safe,
    jnp.where(green >= blue, 2 + (blue - red) / safe, 4 + (red - green) / safe),
  )
  hue = hue + 6 * turn

  def channel(phase):
    sector = (phase + hue) % 6
    return high - spread * jnp.minimum(sector, 4 - sector).clip(0, 1)

  return jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1)
