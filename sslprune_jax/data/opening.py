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
_BAND = 512  # rows
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "PPM", "TIFF")
_FORMATS += ("AVIF", "HEIF")  # where they are installed
# `max_pixels` says it, and Pillow refuses twice as many as it warns of.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of odd tags, which every viewer passes over.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_MOST_PIXELS = 100_000_000  # that are open at a time, in all threads


class _Budget:
  """Lets threads have images of some pixels open, or a single larger one."""

  def __init__(self, most: int):
    self._most, self._taken = most, 0
    self._changed = threading.Condition()

  @contextlib.contextmanager
  def take(self, pixels: int) -> Iterator[None]:
    with self._changed:
      self._changed.wait_for(
        lambda: not self._taken or self._taken + pixels <= self._most
      )
      self._taken += pixels
    try:
      yield
    finally:
      with self._changed:
        self._taken -= pixels
        self._changed.notify_all()


_BUDGET = _Budget(_MOST_PIXELS)


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

  All threads together have 100 million pixels open, or one larger image: that
  takes 1 GiB, where a reader of Pillow's does not copy (WebP: 2 GiB).

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
    with _BUDGET.take(pixels), image:
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
    if isinstance(error, Image.DecompressionBombError):
      reason = (
        f"found more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, expected at "
        f"most dataset.max_pixels = {max_pixels:,}"
      )
    raise DataError(f"{where}: cannot be decoded: {reason}") from error


def deepest_grey(image: Image.Image) -> int:
  """Returns the largest value of an image of deep greys; 0 of any other.

  Args:
    image: an image that is open.

  Raises:
    ValueError: they are not of 16 bits.
  """
  if not is_deep(image):
    return 0
  least, most = 0, 0
  for box in bands(image):
    part = np.asarray(image.crop(box))
    least, most = min(least, part.min()), max(most, part.max())
  if least < 0 or most >= 2**16:
    raise ValueError(f"found greys from {least} to {most}, expected 16 bits")
  return int(most)


def bands(
  image: Image.Image, multiple: int = 1
) -> Iterator[tuple[int, int, int, int]]:
  """Yields the boxes of bands of rows: what is done by them takes no memory.

  Args:
    image: an image that is open.
    multiple: number of which the rows of a band are a multiple.
  """
  rows = max(1, _BAND // multiple) * multiple
  for top in range(0, image.height, rows):
    yield 0, top, image.width, min(top + rows, image.height)


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
  if image.format == "TIFF":  # Turned as it is read.
    return 1
  if image.format == "PNG":  # Its tags may stand behind its pixels.
    image.load()
  try:
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
  # Of tags that cannot be read; what is in the image is still a picture.
  except Exception:
    return 1
  return found if found in UPRIGHT else 1
