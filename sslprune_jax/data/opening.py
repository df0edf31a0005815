"""Image files, open_image: their formats, their orientation, what is wrong."""

import contextlib
import functools
import io
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from sslprune_jax.data.sources import DataError

# EXIF orientations, and what undoes them. `ImageOps.exif_transpose` writes the
# EXIF anew, and stumbles over tags that every viewer passes over.
UPRIGHT = {
  1: None,
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "PPM", "TIFF")
_FORMATS += ("AVIF", "HEIF")  # where they are installed
# `max_pixels` says it, and Pillow refuses twice as many as it warns of.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of odd tags, which every viewer passes over.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_LARGE = 2**24  # pixels
_ALONE = threading.Lock()


@functools.cache
def reads_heif() -> bool:
  """Returns whether HEIC is read: by pillow-heif, if it is installed."""
  try:
    import pillow_heif
  except ImportError:
    return False
  pillow_heif.register_heif_opener()
  return True


@contextlib.contextmanager
def open_image(
  data: bytes, where: str, max_pixels: int
) -> Iterator[Image.Image]:
  """Opens an image file, and says in a line what is wrong with it.

  One thread at a time has a large image open: it takes 1 GiB at most.

  Args:
    data: bytes of the file, or of its beginning.
    where: name of the image in the error message.
    max_pixels: most pixels that it may have.

  Raises:
    DataError: it is in no format that is read here, it is too large, or its
      range is not known; or whatever is raised within.
  """
  reads_heif()
  try:
    image = Image.open(io.BytesIO(data), formats=_formats())
    pixels = image.width * image.height
    # Closed before the next one is let in.
    with _ALONE if pixels > _LARGE else contextlib.nullcontext(), image:
      if pixels > max_pixels:
        raise ValueError(
          f"found {image.width} x {image.height} pixels, expected at most "
          f"dataset.max_pixels = {max_pixels:,}"
        )
      if image.mode == "F":
        raise ValueError("found fractions of unknown range, expected integers")
      yield image
  # Pillow's readers raise whatever a broken file makes them stumble over.
  except Exception as error:
    reason = str(error).splitlines()[0] if str(error) else repr(error)
    if isinstance(error, Image.UnidentifiedImageError):
      reason = "in no format that is read here"  # its own text is an address
    raise DataError(f"{where}: cannot be decoded: {reason}") from error


def deepest_grey(image: Image.Image) -> int:
  """Returns the largest value of an image of deep greys; 0 of any other.

  Args:
    image: an image that is open.
  """
  if not is_deep(image):
    return 0
  return int(np.asarray(image).max())


def is_deep(image: Image.Image) -> bool:
  """Returns whether an image has greys of more than 8 bits."""
  return image.mode == "I" or image.mode.startswith("I;16")


@functools.cache
def _formats() -> tuple[str, ...]:
  """Returns what Pillow may take bytes for: EPS would start a program."""
  Image.init()
  return tuple(name for name in _FORMATS if name in Image.OPEN)


def orientation(image: Image.Image) -> int:
  """Returns the EXIF orientation, 1 to 8; 1 where the tags are odd.

  Args:
    image: an image that is open.
  """
  if image.format == "PNG":  # Its tags may stand behind its pixels.
    image.load()
  try:
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
  # Of tags that cannot be read; what is in the image is still a picture.
  except Exception:
    return 1
  return found if found in UPRIGHT else 1
