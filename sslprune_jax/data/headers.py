"""The headers of image files, looked at before any of them is used."""

import concurrent.futures
import dataclasses
from collections.abc import Sequence

import tqdm

from sslprune_jax.data.opening import deepest_grey, is_deep, open_image
from sslprune_jax.data.sources import DataError
from sslprune_jax.runtime import processes

_HEADER = 2**16  # bytes, in which most headers end
_SHOWN_FROM = 2000  # files, of which a bar is shown


@dataclasses.dataclass(frozen=True)
class Headers:
  """What the headers of some files say.

  Attributes:
    broken: file -> what is wrong with it, in a line.
    bits: bits that deep greys use of their 16: 8, 10, 12, 14 or 16.
    deep: number of images of deep greys.
  """

  broken: dict[str, str]
  bits: int
  deep: int


def check(files: Sequence[str], max_pixels: int, workers: int) -> Headers:
  """Reads the headers of image files, in parallel; their pixels are not read.

  Those of deep greys are: what they use of their 16 bits no header says.

  Args:
    files: N paths.
    max_pixels: most pixels that an image may have.
    workers: number of threads.
  """
  broken, greatest, deep = {}, 0, 0
  with (
    concurrent.futures.ThreadPoolExecutor(workers) as threads,
    tqdm.tqdm(
      total=len(files),
      desc="headers",
      unit="image",
      # On a terminal only, and for as many as take a while.
      disable=None
      if processes.is_first() and len(files) >= _SHOWN_FROM
      else True,
    ) as bar,
  ):
    found = threads.map(lambda file: _check(file, max_pixels), files)
    for file, (wrong, grey) in zip(files, found, strict=True):
      if wrong:
        broken[file] = wrong
      deep += grey > 0
      greatest = max(greatest, grey)
      bar.update()
  bits = next(b for b in (8, 10, 12, 14, 16) if greatest < 2**b or b == 16)
  return Headers(broken, bits if deep else 16, deep)


def read(path: str, count: int = -1) -> bytes:
  """Reads a file, or its beginning.

  Args:
    path: path of the file.
    count: number of bytes; all by default.

  Raises:
    DataError: names the file, and why it cannot be read.
  """
  try:
    with open(path, "rb") as file:
      return file.read(count)
  except OSError as error:
    raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _check(file: str, max_pixels: int) -> tuple[str, int]:
  """Returns what is wrong with a file, "" for nothing, and its deepest grey."""
  try:
    content = read(file, _HEADER)
    if len(content) < _HEADER:
      return "", _greatest(content, file, max_pixels)
    try:
      with open_image(content, file, max_pixels) as image:
        if not is_deep(image):
          return "", 0
    except DataError:  # Some lie behind what a camera wrote before them.
      pass
    return "", _greatest(read(file), file, max_pixels)
  except DataError as error:
    return str(error), 0


def _greatest(content: bytes, file: str, max_pixels: int) -> int:
  with open_image(content, file, max_pixels) as image:
    return deepest_grey(image)
