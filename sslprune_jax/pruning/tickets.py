"""Tickets: a mask and the weights under it, in one file that NumPy opens.

A ticket holds either W_k, the early weights that a mask is retrained from (the
"winning ticket"), or the weights that training under the mask ended with. Masks
are stored as bits and only the weights that remain are stored, so that the file
shrinks with the network.

Entries of the `.npz`: `mask/<path>` u8 bits (`np.packbits`) of each prunable
kernel; `params/<path>` f32, its remaining weights in order, or the whole array
of a parameter that is never pruned; `batch_stats/<path>` f32; `meta` JSON text
with the shapes, what the ticket was made by, and the SHA-256 of every entry and
of `meta` itself, which tickets of the first version lack.
"""

import dataclasses
import hashlib
import io
import json
import zipfile
from typing import Any

import chex
import jax
import numpy as np
from etils import epath

from sslprune_jax import data, models
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import files
from sslprune_jax.runtime.errors import LostFileError
from sslprune_jax.runtime.trees import Tree, digests, from_names, named_leaves


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

  def network(self) -> models.Network:
    """Builds the ticket's network; it computes in float32.

    Raises:
      TicketError: the ticket does not say which network it is of, or its head
        is more than a linear layer, which its task alone can build.
    """
    head = named_leaves(self.params["head"])
    if "kernel" not in head:
      raise TicketError(
        f"params/head: found {sorted(head)}, expected the kernel of a "
        "linear layer; Ticket.features needs no head"
      )
    return self._build(head["kernel"].shape[-1])

  def _build(self, num_outputs: int) -> models.Network:
    model = self._config("model")
    try:
      return models.build(
        model["name"], num_outputs, width=model["width"], sobel=model["sobel"]
      )
    except (KeyError, ValueError) as error:
      raise TicketError(f"meta.config.model: {error}") from None

  def features(self, images: np.ndarray) -> np.ndarray:
    """Computes the features of images, in evaluation mode, in one batch.

    Args:
      images: u8[N,H,W,C], of the shape that the network was trained on.

    Returns:
      f32[N,F].

    Raises:
      TicketError: the ticket does not say how its network sees images.
    """
    dataset = self._config("dataset")
    network = models.without_head(self._build(num_outputs=1))
    trunk = {
      name: {k: v for k, v in tree.items() if k == "trunk"}
      for name, tree in self.variables.items()
    }
    chex.assert_rank(images, 4)
    chex.assert_type(images, np.uint8)
    chex.assert_shape(images, (None, *self.meta["image_shape"]))

    @jax.jit
    def apply(variables, images):
      images = data.normalise(images, dataset["mean"], dataset["std"])
      outputs = network.apply(variables, images, train=False)
      return models.readout(outputs, "features")

    return np.asarray(apply(trunk, images))

  def _config(self, section: str) -> dict[str, Any]:
    """Returns a section of the configuration that the ticket was made by."""
    if section not in self.meta.get("config", {}):
      raise TicketError(f"meta.config: found no {section}, expected one")
    return self.meta["config"][section]


def save(path: epath.PathLike, ticket: Ticket) -> None:
  """Writes a ticket, whole or not at all.

  Args:
    path: name that ends in `.npz`.
    ticket: ticket of arrays on the host or on devices; weights under the mask
      are not stored whatever they are.
  """
  masks = named_leaves(ticket.masks)
  entries = {f"mask/{k}": v for k, v in masks_lib.pack(ticket.masks).items()}
  shapes = {}
  for name, leaf in named_leaves(ticket.params).items():
    leaf = np.asarray(leaf)
    shapes[name] = leaf.shape
    mask = np.asarray(masks[name])
    entries[f"params/{name}"] = leaf[mask] if mask.ndim else leaf
  for name, leaf in named_leaves(ticket.batch_stats).items():
    entries[f"batch_stats/{name}"] = np.asarray(leaf)
  meta = {**ticket.meta, "shapes": shapes}
  meta["sha256"] = _digests(entries) | {"meta": _digest_of_meta(meta)}
  entries["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
  buffer = io.BytesIO()
  np.savez(buffer, **entries)
  files.write(path, buffer.getvalue())


def load(path: epath.PathLike) -> Ticket:
  """Reads a ticket.

  Args:
    path: file of a ticket, of any version.

  Returns:
    The ticket, on the host.

  Raises:
    TicketError: the file is missing, is no ticket, or its bytes changed.
  """
  try:
    content = files.read(path)
  except FileNotFoundError:
    raise TicketError(f"{path}: no such ticket") from None
  try:
    with np.load(io.BytesIO(content)) as file:
      entries = dict(file)
    meta = json.loads(entries.pop("meta").tobytes())
    expected, of_meta = meta["sha256"], _digest_of_meta(meta)
    shapes = meta.pop("shapes")
  except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise TicketError(f"{path}: no ticket, or damaged ({error})") from error
  found = _digests(entries) | ({"meta": of_meta} if "meta" in expected else {})
  if found != expected:
    raise TicketError(f"{path}: damaged: its bytes are not those of its digest")
  groups: dict[str, dict[str, np.ndarray]] = {}
  for name, entry in entries.items():
    group, leaf_name = name.split("/", 1)
    groups.setdefault(group, {})[leaf_name] = entry
  like = from_names(
    {k: jax.ShapeDtypeStruct(s, np.float32) for k, s in shapes.items()}
  )
  masks = masks_lib.unpack(groups["mask"], like)
  params = {}
  for name, mask in named_leaves(masks).items():
    params[name] = groups["params"][name]
    if mask.ndim:
      params[name] = np.zeros(shapes[name], np.float32)
      params[name][mask] = groups["params"][name]
  return Ticket(
    masks=masks,
    params=from_names(params),
    batch_stats=from_names(groups.get("batch_stats", {})),
    meta=meta,
  )


def check(ticket: Ticket, params: Tree, where: str) -> None:
  """Refuses a ticket whose trunk does not fit a network, or is not pruned.

  Args:
    ticket: any ticket.
    params: arrays of the network, or their shapes.
    where: name of the ticket in errors.

  Raises:
    TicketError: names the array, what was found and what was expected.
  """
  found, expected = (
    {name: leaf.shape for name, leaf in named_leaves(tree["trunk"]).items()}
    for tree in (ticket.params, params)
  )
  for name in sorted(found.keys() | expected.keys()):
    if found.get(name) != expected.get(name):
      raise TicketError(
        f"{where}: of another architecture: trunk/{name} has shape "
        f"{found.get(name)}, the network expects {expected.get(name)}"
      )
  try:
    masks_lib.check(ticket.masks, ticket.params)
    masks_lib.check_pruned(ticket.masks, ticket.params)
  except ValueError as error:
    raise TicketError(f"{where}: {error}") from None


def _digests(entries: dict[str, np.ndarray]) -> dict[str, str]:
  return digests(from_names(entries))


def _digest_of_meta(meta: dict[str, Any]) -> str:
  """Returns the SHA-256 of what `meta` says besides its digests."""
  said = {name: value for name, value in meta.items() if name != "sha256"}
  # Read back: JSON has no tuples, and texts alone as names.
  said = json.loads(json.dumps(said))
  return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
