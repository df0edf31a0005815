"""Arrays of a `.npz` that anybody may have made: read, and never believed.

NumPy makes an array as large as a header says before it reads it, and what is
deflated to a megabyte can be a gigabyte. Here no more is made than the file has
bytes.
"""

import io
import math
import zipfile

import numpy as np

_DTYPES = ("float32", "uint8")
_READ_HEADER = {
  (1, 0): np.lib.format.read_array_header_1_0,
  (2, 0): np.lib.format.read_array_header_2_0,
}
# What zipfile raises, by what is damaged.
_DAMAGE = (
  *(zipfile.BadZipFile, EOFError, OSError),
  *(RuntimeError, OverflowError, LookupError),
)
_LONGEST_NAME, _DEEPEST_NAME = 400, 32


def read(content: bytes) -> dict[str, np.ndarray]:
  """Reads the arrays of an archive that `np.savez` wrote.

  Args:
    content: bytes of the file.

  Returns:
    Arrays f32 and u8 by name.

  Raises:
    ValueError: it is no such archive, a member is deflated, or has another
      dtype, or not the bytes that its header says.
  """
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      _check_sizes(archive.infolist(), len(content))
      return {
        info.filename.removesuffix(".npy"): _read_member(archive, info)
        for info in archive.infolist()
      }
  except _DAMAGE as error:
    raise ValueError(f"no archive of arrays: {error}") from None


def _check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
  """Refuses members that are together larger than their file, in bytes."""
  for info in members:
    if info.compress_type != zipfile.ZIP_STORED:
      raise ValueError(f"{info.filename}: found it deflated, expected as it is")
  # They may lie over each other, each as large as the file.
  total = sum(info.file_size for info in members)
  if total > size:
    raise ValueError(
      f"found members of {total} bytes, expected at most the file's {size}"
    )


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
  name = info.filename
  if len(name) > _LONGEST_NAME or name.count("/") > _DEEPEST_NAME:
    raise ValueError(f"{name[:40]}...: found a name too long, expected shorter")
  content = archive.read(info)  # No longer than the file: it is stored.
  file = io.BytesIO(content)
  version = np.lib.format.read_magic(file)
  if version not in _READ_HEADER:
    raise ValueError(f"{name}: found the version {version}, expected 1.0")
  shape, is_fortran, dtype = _READ_HEADER[version](file)
  if dtype.name not in _DTYPES or is_fortran:
    raise ValueError(
      f"{name}: found {dtype} {'in columns' if is_fortran else ''}, expected "
      f"one of {_DTYPES} in rows"
    )
  data = content[file.tell() :]
  if any(size < 0 for size in shape) or (
    math.prod(shape) * dtype.itemsize != len(data)
  ):
    raise ValueError(
      f"{name}: found {len(data)} bytes, expected those of {dtype}{shape}"
    )
  return np.frombuffer(data, dtype).reshape(shape).copy()
