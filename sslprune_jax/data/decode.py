"""Decoding: the bytes of any image file to u8[H,W,C], evaluated or cropped."""

import math

import numpy as np
from PIL import Image

from sslprune_jax.data.opening import (
  UPRIGHT,
  bands,
  is_deep,
  open_image,
  orientation,
)
from sslprune_jax.data.sources import Spec
from sslprune_jax.runtime import rng

# The one resize filter: antialiased when it shrinks, unlike OpenCV's linear.
_FILTER = Image.Resampling.BILINEAR
_SHORTER_SIDE = 256 / 224  # of the evaluation view, before its central crop
SCALE = Spec.crop_scale  # of the area, of a random resized crop
_RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10
_LARGE = 2**24  # pixels
_TRANSPOSED = (5, 6, 7, 8)  # those that swap width and height


def decode(
  data: bytes,
  shape: tuple[int, int, int],
  seed: int | None = None,
  where: str = "image",
  whole: bool = False,
  scale: tuple[float, float] = SCALE,
  max_pixels: int = Spec.max_pixels,
  bits: int = 16,
) -> np.ndarray:
  """Decodes an image file and fits it to a shape.

  An image that has the shape already is returned as it is, unless it is to be
  cropped. Otherwise the evaluation view shrinks the shorter side to 256/224 of
  the shape's and takes the centre, or resizes the whole image, whatever its
  ratio. EXIF orientation is applied, alpha laid on white, deep greys cut to 8
  bits, animations to their first frame.

  Args:
    data: bytes of the file, in a format of `listing.suffixes`.
    shape: (H, W, C) to return; C is 1 (grey) or 3 (RGB).
    seed: u64 for a random resized crop (`random_box`); None for evaluation.
    where: name of the image in the error message.
    whole: whether the evaluation view is the whole image.
    scale: least and largest share of the area of a random resized crop.
    max_pixels: most pixels that an image may have.
    bits: bits that deep greys use of their 16.

  Returns:
    u8[H,W,C].

  Raises:
    DataError: it cannot be decoded.
  """
  with open_image(data, where, max_pixels) as image:
    return _decode(image, shape, seed, whole, scale, bits)


def _decode(image, shape, seed, whole, scale, bits) -> np.ndarray:
  # A function of its own, whose images are gone when the file is closed.
  turn, (width, height) = orientation(image), image.size
  box = _draw_box(image, turn, shape, seed, scale)
  if turn in _TRANSPOSED:
    width, height = height, width
  image = _shrink(image, shape, box, max(width, height), bits)
  if turn != 1:
    image = image.transpose(UPRIGHT[turn])
  if box is not None:
    scale_w, scale_h = image.width / width, image.height / height
    left, top, right, bottom = box
    box = (left * scale_w, top * scale_h, right * scale_w, bottom * scale_h)
  elif whole:
    box = (0, 0, image.width, image.height)
  return _fit(image, shape, box)


Box = tuple[float, float, float, float]


def _draw_box(
  image: Image.Image,
  turn: int,
  shape: tuple[int, int, int],
  seed: int | None,
  scale: tuple[float, float],
) -> Box | None:
  """Draws the box to crop from the upright image, and has it read reduced.

  Returns:
    The box in pixels of the file; None for evaluation.
  """
  if seed is None:
    return None
  width, height = image.size
  if turn in _TRANSPOSED:
    width, height = height, width
  box = random_box(width, height, seed, scale)
  if turn == 1:
    # JPEG decodes to 1/2, 1/4 or 1/8 in a fraction of the time: allowed as
    # long as the crop keeps at least as many pixels as are asked for.
    reduce_h = shape[0] / (box[3] - box[1])
    reduce_w = shape[1] / (box[2] - box[0])
    image.draft(
      None, (math.ceil(width * reduce_w), math.ceil(height * reduce_h))
    )
  return box


def random_box(
  width: int, height: int, seed: int, scale: tuple[float, float] = SCALE
) -> Box:
  """Draws the box of a random resized crop: a pure function of its arguments.

  A share of the area in a ratio of 3/4 to 4/3; after ten attempts that do not
  fit, the largest central box within these ratios.

  Args:
    width: width of the image, in pixels.
    height: height of the image, in pixels.
    seed: u64, drawn for this image this time.
    scale: least and largest share of the area.

  Returns:
    left, top, right, bottom in whole pixels.

  Reference: torchvision's RandomResizedCrop; arXiv 1409.4842, section 6.
  """
  words = np.random.Philox(key=int(seed)).random_raw(4 * _ATTEMPTS)
  low, high = math.log(_RATIO[0]), math.log(_RATIO[1])
  for area, shape, x, y in rng.to_units(words).reshape(-1, 4).tolist():
    area = width * height * (scale[0] + area * (scale[1] - scale[0]))
    ratio = math.exp(low + shape * (high - low))
    w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < w <= width and 0 < h <= height:
      left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
      return left, top, left + w, top + h
  w = min(width, max(1, round(height * _RATIO[1])))
  h = min(height, max(1, round(width / _RATIO[0])))
  left, top = (width - w) // 2, (height - h) // 2
  return left, top, left + w, top + h


def _convert(image: Image.Image, channels: int, bits: int) -> Image.Image:
  """Returns an image of mode RGB (3 channels) or L (1)."""
  if is_deep(image):
    image = _to_bytes(image, bits)
  if image.has_transparency_data:
    image = _on_white(image)
  mode = "L" if channels == 1 else "RGB"
  return image if image.mode == mode else image.convert(mode)


def _to_bytes(image: Image.Image, bits: int) -> Image.Image:
  """Returns the upper 8 of so many bits; Pillow itself would clip at 255."""
  grey = np.clip(np.asarray(image) >> (bits - 8), 0, 255)
  return Image.fromarray(grey.astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
  """Lays an image on white."""
  white = Image.new("RGB", image.size, "white")
  image = image if image.mode == "RGBA" else image.convert("RGBA")
  white.paste(image, mask=image)
  return white


def _shrink(
  image: Image.Image,
  shape: tuple[int, int, int],
  box: Box | None,
  longest: int,
  bits: int,
) -> Image.Image:
  """Converts an image; a large one in bands, each averaged over squares.

  So it takes its memory once. A square is at most a third of what becomes a
  pixel; the last ones may be cut off, which moves an edge by less than that.
  """
  factor = 1
  if image.width * image.height > _LARGE:
    seen = min(image.size) / _SHORTER_SIDE
    if box is not None:
      seen = min(box[2] - box[0], box[3] - box[1])
      seen *= max(image.size) / longest  # JPEG may be read reduced.
    factor = max(1, int(seen / max(shape[:2]) / 3))
  if factor == 1:
    return _convert(image, shape[-1], bits)
  size = -(-image.width // factor), -(-image.height // factor)
  small = Image.new("L" if shape[-1] == 1 else "RGB", size)
  for band in bands(image, factor):
    part = _convert(image.crop(band), shape[-1], bits).reduce(factor)
    small.paste(part, (0, band[1] // factor))
  return small


def _fit(
  image: Image.Image, shape: tuple[int, int, int], box: Box | None
) -> np.ndarray:
  height, width, _ = shape
  size = (width, height)
  if box is not None:
    image = image.resize(size, _FILTER, box)
  elif image.size != size:
    # One resize from the box that the central crop of the shrunk image shows.
    pixel = min(image.width / width, image.height / height) / _SHORTER_SIDE
    w, h = pixel * width, pixel * height
    left, top = (image.width - w) / 2, (image.height - h) / 2
    image = image.resize(size, _FILTER, (left, top, left + w, top + h))
  return np.asarray(image).reshape(shape)
