"""With which head a ticket is handed over: a linear one, or none."""

from etils import epath

from sslprune_jax import models
from sslprune_jax.config import plugins
from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.tickets import Ticket


def load(path: epath.PathLike) -> Ticket:
  """Loads a ticket that is written for others: its head is linear, or gone.

  Args:
    path: file of the ticket.

  Raises:
    TicketError: the file is no ticket.
    ConfigError: its network comes from a plug-in that was not imported.
  """
  ticket = tickets.load(path)
  plugins.check(ticket.meta.get("plugins") or {}, NETWORKS, str(path))
  return without_other_head(ticket)


def without_other_head(ticket: Ticket) -> Ticket:
  """Returns a ticket without a head that its task alone can build."""
  if ticket.has_linear_head:
    return ticket
  trunks = (
    {k: v for k, v in tree.items() if k == "trunk"}
    for tree in (ticket.masks, ticket.params, ticket.batch_stats)
  )
  return Ticket(*trunks, ticket.meta)


def network_of(ticket: Ticket) -> models.Network:
  """Returns a ticket's network; without a head its logits are its features."""
  if ticket.has_linear_head:
    return ticket.network()
  return models.without_head(ticket.network(num_outputs=1))
