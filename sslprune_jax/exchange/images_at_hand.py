"""The images that a ticket was made with, where they are at hand."""

from sslprune_jax import data
from sslprune_jax.config import from_json
from sslprune_jax.config.datasets import FIELDS
from sslprune_jax.config.rules import section
from sslprune_jax.pruning.tickets import Ticket


def open_split(ticket: Ticket, which: str) -> data.Source:
  """Opens a split of the data set of a ticket's study; nothing is downloaded.

  Args:
    ticket: any ticket.
    which: "train" or "test".

  Raises:
    DataError: they are not at hand, or of another shape; one line says why.
    TicketError: the ticket does not say what they are.
  """
  found = from_json(ticket.section("dataset"))
  if not found.get("name"):
    raise data.DataError("meta.config.dataset: found no name of a data set")
  dataset = section(FIELDS)
  dataset.update({k: v for k, v in found.items() if k in FIELDS})
  source = data.load(data.Spec.from_config(dataset, dataset[which]))
  if source.image_shape != ticket.image_shape:
    raise data.DataError(
      f"{source.name} {source.split}: found images of {source.image_shape}, "
      f"expected {ticket.image_shape}"
    )
  return source
