"""Tickets: a mask and the weights under it, in one file that NumPy opens.

A ticket holds either W_k, the early weights that a mask is retrained from (the
"winning ticket"), or the weights that training under the mask ended with. Masks
are stored as bits and only the weights that remain are stored, so that the file
shrinks with the network.

Entries of the `.npz`: `mask/<path>` u8 bits (`np.packbits`) of each prunable
kernel; `params/<path>` f32, its remaining weights in order, or the whole array
of a parameter that is never pruned; `batch_stats/<path>` f32; `meta` JSON text
with the shapes, what the ticket was made by, and the SHA-256 of every entry.
"""

import dataclasses
import io
import json
import zipfile
from typing import Any

import jax
import numpy as np
from etils import epath

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
    masks: host masks.
    params: f32, exactly 0 under the masks.
    batch_stats: f32.
    meta: JSON values: task, model, dataset, seed, round, density, config, ...
  """

  masks: masks_lib.Masks
  params: Tree
  batch_stats: Tree
  meta: dict[str, Any]

  @property
  def variables(self) -> dict[str, Tree]:
    """What a network is applied with."""
    return {"params": self.params, "batch_stats": self.batch_stats}


def save(path: epath.PathLike, ticket: Ticket) -> None:
  """Writes a ticket, whole or not at all.

  Args:
    path: a name that ends in `.npz`.
    ticket: arrays on the host or on devices; weights under the mask are not
      stored whatever they are.
  """
  masks = named_leaves(ticket.masks)
  entries = {f"mask/{k}": v for k, v in masks_lib.pack(ticket.masks).items()}
  shapes = {}
  for name, leaf in named_leaves(ticket.params).items():
    leaf = np.asarray(leaf)
    shapes[name] = leaf.shape
    kept = leaf if masks_lib.why_kept(name) else leaf[np.asarray(masks[name])]
    entries[f"params/{name}"] = kept
  for name, leaf in named_leaves(ticket.batch_stats).items():
    entries[f"batch_stats/{name}"] = np.asarray(leaf)
  meta = {**ticket.meta, "shapes": shapes, "sha256": _digests(entries)}
  entries["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
  buffer = io.BytesIO()
  np.savez(buffer, **entries)
  files.write(path, buffer.getvalue())


def load(path: epath.PathLike) -> Ticket:
  """Reads a ticket.

  Args:
    path: the file.

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
    shapes, expected = meta.pop("shapes"), meta["sha256"]
  except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise TicketError(f"{path}: no ticket, or damaged ({error})") from error
  if _digests(entries) != expected:
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
    if masks_lib.why_kept(name) is None:
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
    ticket: any.
    params: the network's, or their shapes.
    where: what to call the ticket.

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
