"""The file of a ticket: masks as bits, and the weights that remain.

Entries of the `.npz`: `mask/<path>` u8 bits (`np.packbits`) of each parameter
that is pruned; `params/<path>` f32, its remaining weights in order, or the
whole array of one that is never pruned; `batch_stats/<path>` f32; `meta` JSON
text with the version, the shapes, what the ticket was made by, and the SHA-256
of every entry and of `meta` itself.

Versions 1 and 2, which do not say theirs, mask kernels alone; the first lacks
the digest of `meta`. In 3 batch norm and biases that go with pruned channels
are masked too.
"""

import hashlib
import io
import json
from typing import Any

import jax
import numpy as np

from sslprune_jax.pruning import archive
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime.trees import Tree, digests, from_names, named_leaves

VERSION = 3


def write(
  masks: masks_lib.Masks, params: Tree, batch_stats: Tree, meta: dict[str, Any]
) -> bytes:
  """Writes a ticket.

  Args:
    masks: masks, on the host or on devices.
    params: f32 arrays; what the masks prune is not stored whatever it is.
    batch_stats: f32 arrays.
    meta: JSON values.

  Returns:
    The bytes of the file, the same ones for the same ticket.
  """
  leaves = named_leaves(masks)
  entries = {f"mask/{k}": v for k, v in masks_lib.pack(masks).items()}
  shapes = {}
  for name, leaf in named_leaves(params).items():
    leaf = np.asarray(leaf)
    shapes[name] = leaf.shape
    mask = np.asarray(leaves[name])
    entries[f"params/{name}"] = leaf[mask] if mask.ndim else leaf
  for name, leaf in named_leaves(batch_stats).items():
    entries[f"batch_stats/{name}"] = np.asarray(leaf)
  meta = {**meta, "version": VERSION, "shapes": shapes}
  meta["sha256"] = _digests(entries) | {"meta": _digest_of_meta(meta)}
  entries["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
  buffer = io.BytesIO()
  np.savez(buffer, **entries)
  return buffer.getvalue()


def read(
  content: bytes,
) -> tuple[masks_lib.Masks, Tree, Tree, dict[str, Any]]:
  """Reads a ticket of anybody; no array is made that the file does not hold.

  Args:
    content: bytes of the file.

  Returns:
    Masks, params and batch_stats, on the host, and meta.

  Raises:
    ValueError: it is no ticket, its bytes changed, its arrays are not what it
      declares, or a weight is not finite.
  """
  try:
    entries = archive.read(content)
    meta = json.loads(entries.pop("meta").tobytes())
    expected = dict(meta["sha256"])
    found = _digests(entries)
    if "meta" in expected:
      found["meta"] = _digest_of_meta(meta)
    shapes = _read_shapes(meta.pop("shapes"))
  except (LookupError, ValueError, TypeError, AttributeError) as error:
    raise ValueError(f"no ticket, or damaged ({error})") from error
  except RecursionError:
    raise ValueError("no ticket: nested too deep") from None
  if found != expected:
    raise ValueError("damaged: its bytes are not those of its digest")
  version = meta.pop("version", 2)
  if version not in range(VERSION + 1):
    raise ValueError(
      f"version: found {version!r}, expected at most {VERSION}; a newer "
      "sslprune_jax wrote it"
    )
  try:
    return *_assemble(entries, shapes), meta
  except (LookupError, TypeError, AttributeError, AssertionError) as error:
    raise ValueError(f"no ticket ({error})") from error


def _read_shapes(shapes: Any) -> dict[str, tuple[int, ...]]:
  """Returns the shape of every parameter by its name."""
  for name, shape in shapes.items():
    if not all(type(size) is int and size >= 0 for size in shape):
      raise ValueError(f"shapes.{name}: found {shape}, expected whole numbers")
  return {name: tuple(shape) for name, shape in shapes.items()}


def _assemble(
  entries: dict[str, np.ndarray],
  shapes: dict[str, tuple[int, ...]],
) -> tuple[masks_lib.Masks, Tree, Tree]:
  """Makes trees of the entries of a ticket, held against its shapes."""
  groups: dict[str, dict[str, np.ndarray]] = {
    "mask": {}, "params": {}, "batch_stats": {}
  }  # fmt: skip
  for name, entry in entries.items():
    group, _, leaf_name = name.partition("/")
    groups[group][leaf_name] = entry
    dtype = "uint8" if group == "mask" else "float32"
    if entry.dtype != dtype:
      raise ValueError(f"{name}: found {entry.dtype}, expected {dtype}")
    if group != "mask" and not np.isfinite(entry).all():
      raise ValueError(
        f"{name}: found NaN or infinity, expected finite numbers"
      )
  if groups["params"].keys() != shapes.keys():
    name = min(groups["params"].keys() ^ shapes.keys())
    raise ValueError(f"params/{name}: found it in one of the file and its meta")
  # Bits are an eighth of a weight's size: no mask declares more than is there.
  like = from_names(
    {k: jax.ShapeDtypeStruct(s, np.float32) for k, s in shapes.items()}
  )
  masks = masks_lib.unpack(groups["mask"], like)
  params = {}
  for name, mask in named_leaves(masks).items():
    params[name] = entry = groups["params"][name]
    expected = (int(mask.sum()),) if mask.ndim else shapes[name]
    if entry.shape != expected:
      raise ValueError(
        f"params/{name}: found the shape {entry.shape}, expected {expected}"
      )
    if mask.ndim:
      params[name] = np.zeros(shapes[name], np.float32)
      params[name][mask] = entry
  if not groups["mask"]:
    raise ValueError("mask: found none, expected one of each pruned parameter")
  return masks, from_names(params), from_names(groups["batch_stats"])


def _digests(entries: dict[str, np.ndarray]) -> dict[str, str]:
  return digests(from_names(entries))


def _digest_of_meta(meta: dict[str, Any]) -> str:
  """Returns the SHA-256 of what `meta` says besides its digests."""
  said = {name: value for name, value in meta.items() if name != "sha256"}
  # Read back: JSON has no tuples, and texts alone as names.
  said = json.loads(json.dumps(said))
  return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
