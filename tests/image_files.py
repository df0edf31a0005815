"""Image files made for tests."""

import io

import numpy as np
from PIL import Image


def encode(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
  """Returns an image as the bytes of a file."""
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


def png(image: Image.Image | np.ndarray) -> bytes:
  """Returns an image as the bytes of a PNG file."""
  return encode(image, "PNG")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
  """Returns a smooth u8[height,width,3], no two corners alike."""
  noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
  image = Image.fromarray(noise).resize((width, height), Image.BICUBIC)
  return np.asarray(image)
