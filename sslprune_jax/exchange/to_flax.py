"""A ticket -> safetensors by our own names, read again and compared."""

import pathlib

import numpy as np
from safetensors import numpy as safetensors

from sslprune_jax.exchange.written import (
  ExportError,
  Reference,
  make_logits,
  same_arrays,
)
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.trees import from_names, named_leaves

FILE = "flax.safetensors"
_GROUPS = ("params", "batch_stats", "masks")


def write(reference: Reference, folder: pathlib.Path) -> list[str]:
  """Writes the variables of a network and its masks, nested names by slashes.

  Args:
    reference: ticket, and what its files are held against.
    folder: folder that is there.

  Returns:
    A sentence on what takes the file.

  Raises:
    ExportError: what was written is not what is read again.
  """
  ticket = reference.ticket
  expected = {name: getattr(ticket, name) for name in _GROUPS}
  arrays = {
    # A scalar stays one: what safetensors writes wrong has axes.
    name: np.asarray(leaf, order="C")
    for name, leaf in named_leaves(expected).items()
  }
  (folder / FILE).write_bytes(safetensors.save(arrays))
  found = from_names(safetensors.load((folder / FILE).read_bytes()))
  if not same_arrays(found, expected):
    raise ExportError(f"{FILE}: found other arrays than were written")
  again = Ticket(
    found["masks"], found["params"], found.get("batch_stats", {}), ticket.meta
  )
  reference.check(FILE, make_logits(again))
  return [
    f"`{FILE}` has Flax's variables, `params/...` and `batch_stats/...`, and "
    "`masks/...`, by this program's names: nested at the slashes, the first "
    "two are what its network is applied to."
  ]
