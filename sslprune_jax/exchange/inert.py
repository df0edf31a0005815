"""What stands for the objects of a pickle: nothing of it can be set or run."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Storage:
  """A row of numbers in a file, which arrays are views of.

  Attributes:
    key: its name in the file.
    dtype: dtype of its numbers; None of one that is not known.
    size: number of them.
  """

  key: str
  dtype: np.dtype | None
  size: int

  def __setstate__(self, state: Any) -> None:
    """Takes nothing, as `Tensor`."""


class Dict(dict):
  """A dict of a pickle, whose attributes are left out."""

  __slots__ = ()

  def __setstate__(self, state: Any) -> None:
    """Takes nothing: `_metadata` of a state_dict, or worse."""


class Opaque:
  """Stands for an object of a class that is not known; holds nothing."""

  __slots__ = ()

  def __new__(cls, *args: Any, **kwargs: Any) -> "Opaque":
    """Makes it of whatever it is called with."""
    del args, kwargs
    return object.__new__(cls)

  def _ignore(self, *args: Any) -> None:
    """Takes what a pickle puts into an object."""

  __init__ = __setstate__ = __setitem__ = _ignore  # type: ignore[assignment]
  append = extend = add = update = _ignore
