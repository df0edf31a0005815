"""Tickets: a mask and the weights under it, in one file that NumPy opens.

A ticket holds either W_k, the early weights that a mask is retrained from (the
"winning ticket"), or the weights that training under the mask ended with. Masks
are stored as bits and only the weights that remain are stored, so that the file
shrinks with the network.

`ticket_file` says how it is laid out.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import chex
import jax
import numpy as np
from etils import epath

from sslprune_jax import data, models
from sslprune_jax.config import every_field
from sslprune_jax.config.rules import IMAGE_SHAPE, Rule, channels
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import ticket_file
from sslprune_jax.runtime import files
from sslprune_jax.runtime.errors import ConfigError, LostFileError
from sslprune_jax.runtime.trees import Tree, named_leaves


class TicketError(LostFileError, ValueError):
  """A file is no ticket, or a damaged one."""


@dataclasses.dataclass(frozen=True)
class Ticket:
  """A subnetwork (W, m).

  Attributes:
    masks: masks on the host.
    params: f32 arrays, exactly 0 under the masks.
    batch_stats: f32 arrays.
    meta: JSON values: task, seed, round, density, image_shape, config, ...
  """

  masks: masks_lib.Masks
  params: Tree
  batch_stats: Tree
  meta: dict[str, Any]

  @property
  def variables(self) -> dict[str, Tree]:
    """What a network is applied with: `{"params", "batch_stats"}`."""
    return {"params": self.params, "batch_stats": self.batch_stats}

  def network(self, num_outputs: int | None = None) -> models.Network:
    """Builds the ticket's network; it computes in float32.

    Args:
      num_outputs: outputs of a head of its own; None for the ticket's.

    Raises:
      TicketError: the ticket does not say which network it is of, or has no
        head, or one that is more than a linear layer, which its task alone can
        build.
    """
    if num_outputs is None and not self.has_linear_head:
      head = sorted(named_leaves(self.params.get("head", {})))
      raise TicketError(
        f"params/head: found {head or 'no head'}, expected the kernel and the "
        "bias of a linear layer; Ticket.features needs no head"
      )
    if num_outputs is None:
      num_outputs = self.params["head"]["kernel"].shape[-1]
    model = self.section("model", "name", "width", "sobel")
    try:
      return models.build(
        model["name"],
        num_outputs,
        width=model["width"],
        sobel=model["sobel"],
        **models.variants(model),
      )
    except (KeyError, TypeError, ValueError) as error:
      raise TicketError(f"meta.config.model: {error}") from None

  @property
  def has_linear_head(self) -> bool:
    """Whether its head is one that `network` builds: a kernel and a bias."""
    return set(self.params.get("head", {})) == {"kernel", "bias"}

  def features(self, images: np.ndarray) -> np.ndarray:
    """Computes the features of images, in evaluation mode, in one batch.

    Args:
      images: u8[N,H,W,C], of the shape that the network was trained on.

    Returns:
      f32[N,F].

    Raises:
      TicketError: the ticket does not say how its network sees images, or its
        arrays are not those of that network.
    """
    dataset = self.section("dataset", "mean", "std")
    shape = self.image_shape
    for name in ("mean", "std"):
      _hold(f"config.dataset.{name}", dataset[name], channels(shape[-1]))
    network = models.without_head(self.network(num_outputs=1))
    trunk = {
      name: {k: v for k, v in tree.items() if k == "trunk"}
      for name, tree in self.variables.items()
    }
    chex.assert_rank(images, 4)
    chex.assert_type(images, np.uint8)
    chex.assert_shape(images, (None, *shape))
    self.check_network(network)

    @jax.jit
    def apply(variables, images):
      images = data.normalise(images, dataset["mean"], dataset["std"])
      outputs = network.apply(variables, images, train=False)
      return models.readout(outputs, "features")

    return np.asarray(apply(trunk, images))

  def check_network(self, network: models.Network) -> None:
    """Refuses a network that the ticket is not of, its head where it has one.

    Raises:
      TicketError: names the array, what was found and what was expected.
    """
    one = jax.ShapeDtypeStruct((1, *self.image_shape), np.float32)
    try:
      like = jax.eval_shape(
        lambda x: network.init(jax.random.key(0), x, train=False), one
      )
    except (TypeError, ValueError, OverflowError) as error:
      reason = str(error).split("\n")[0]
      raise TicketError(
        f"meta.config.model: no such network ({reason})"
      ) from None
    check(self, like, "params", parts=("trunk", "head"))

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """The shape (H, W, C) of the images that the network was trained on.

    Raises:
      TicketError: the ticket does not say.
    """
    shape = self.meta.get("image_shape")
    _hold("image_shape", shape, IMAGE_SHAPE)
    return tuple(shape)

  def section(self, section: str, *needed: str) -> dict[str, Any]:
    """Returns a section of the ticket's configuration, with fields it needs.

    Raises:
      TicketError: names a field that it lacks, or that holds what none may.
    """
    config = self.meta.get("config")
    found = config.get(section) if isinstance(config, dict) else None
    if not isinstance(found, dict):
      raise TicketError(f"meta.config: found no {section}, expected one")
    for name, field in every_field().items():
      part, _, own = name.partition(".")
      if part == section and (own in found or own in needed):
        _hold(f"config.{name}", found.get(own), field.rule)
    return found


def _hold(field: str, value: Any, rule: Rule) -> None:
  """Holds what a ticket says against a rule of the configuration."""
  try:
    rule.check(field, value)
  except ConfigError as error:
    words = str(error).removeprefix("config.")
    raise TicketError(f"meta.{words}") from None


def save(path: epath.PathLike, ticket: Ticket) -> None:
  """Writes a ticket, whole or not at all.

  Args:
    path: name that ends in `.npz`.
    ticket: ticket of arrays on the host or on devices; weights under the mask
      are not stored whatever they are.
  """
  content = ticket_file.write(
    ticket.masks, ticket.params, ticket.batch_stats, ticket.meta
  )
  files.write(path, content)


def load(path: epath.PathLike) -> Ticket:
  """Reads a ticket, of anybody.

  Args:
    path: file of a ticket, of any version.

  Returns:
    The ticket, on the host.

  Raises:
    TicketError: the file is missing, is no ticket, its bytes changed, its
      arrays are not what it declares, or a weight is not finite.
  """
  try:
    content = files.read(path)
  except FileNotFoundError:
    raise TicketError(f"{path}: no such ticket") from None
  except OSError as error:
    raise TicketError(f"{path}: cannot be read ({error.strerror})") from None
  try:
    return Ticket(*ticket_file.read(content))
  except ValueError as error:
    raise TicketError(f"{path}: {error}") from error


def check(
  ticket: Ticket,
  like: dict[str, Tree],
  where: str,
  parts: Sequence[str] = ("trunk",),
) -> None:
  """Refuses a ticket that does not fit a network, or is not pruned.

  Args:
    ticket: any ticket.
    like: variables of the network, or their shapes.
    where: name of the ticket in errors.
    parts: parts of the network that are compared, of those that it has.

  Raises:
    TicketError: names the array, what was found and what was expected.
  """
  parts = [part for part in parts if part in like["params"]]
  for kind, own in ticket.variables.items():
    found, expected = (
      {
        name: leaf.shape
        for name, leaf in named_leaves(tree).items()
        if name.partition("/")[0] in parts
      }
      for tree in (own, like.get(kind, {}))
    )
    for name in sorted(found.keys() | expected.keys()):
      if found.get(name) != expected.get(name):
        of = "" if kind == "params" else f"{kind} of "
        raise TicketError(
          f"{where}: of another architecture: {of}{name} has shape "
          f"{found.get(name)}, the network expects {expected.get(name)}"
        )
  try:
    masks_lib.check(ticket.masks, ticket.params)
    masks_lib.check_pruned(ticket.masks, ticket.params)
  except ValueError as error:
    raise TicketError(f"{where}: {error}") from None
