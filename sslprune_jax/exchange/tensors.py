"""What a checkpoint of anybody holds: arrays by name, read when asked for."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.errors import UserError


class CheckpointError(UserError, ValueError):
  """A file is no checkpoint that can be read, or a damaged one."""


@dataclasses.dataclass(frozen=True)
class Tensor:
  """An array in a file.

  Attributes:
    shape: its shape.
    read: function that returns it; raises `CheckpointError` where the file does
      not hold it.
  """

  shape: tuple[int, ...]
  read: Callable[[], np.ndarray]

  def __setstate__(self, state: Any) -> None:
    """Takes nothing: a pickle can set what it likes on what it is given."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """A file, opened.

  Attributes:
    path: its path.
    form: its kind, in words: "PyTorch", "safetensors", ...
    tree: what it holds: dicts with texts as names, and `Tensor`s; lists, other
      values and objects of unknown classes as they are; nothing of a ticket.
    ticket: the ticket that it is, read; None of others.
    classes: names of the classes whose objects were left out, sorted.
  """

  path: str
  form: str
  tree: Mapping[str, Any]
  ticket: Ticket | None = None
  classes: tuple[str, ...] = ()


def in_memory(array: np.ndarray) -> Tensor:
  """Returns an array that is read already as one of a file."""
  return Tensor(array.shape, lambda: array)
