"""Files that are there whole or not at all, and are no link to another."""

import contextlib
import os
import tempfile

from etils import epath


def write(path: epath.PathLike, content: bytes) -> None:
  """Writes a file; a link of its name is replaced, not followed.

  Args:
    path: file in a folder that is there, or in a bucket.
    content: what it is to hold.
  """
  path = epath.Path(path)
  if "://" in str(path):  # There whole or not at all by itself.
    path.write_bytes(content)
    return
  # Of a name that nobody has, for processes that write some of the same files.
  number, partial = tempfile.mkstemp(
    prefix=f".{path.name}.", suffix=".partial", dir=path.parent
  )
  try:
    with open(number, "wb") as file:
      file.write(content)
    os.chmod(partial, 0o666 & ~_umask())
    os.replace(partial, path)
  except BaseException:
    # A signal may be raised when it has its name already.
    with contextlib.suppress(FileNotFoundError):
      os.unlink(partial)
    raise


def _umask() -> int:
  found = os.umask(0)
  os.umask(found)
  return found
