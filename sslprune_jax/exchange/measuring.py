"""A ticket, its dense network and what it shrinks to: time beside size."""

import copy
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from sslprune_jax import models
from sslprune_jax.exchange import (
  onnx_int8,
  shrink,
  to_jax,
  to_onnx,
  turns,
)
from sslprune_jax.exchange.heads import load, network_of
from sslprune_jax.exchange.written import Reference
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import digests, endings, files
from sslprune_jax.runtime.trees import named_leaves

# Engine -> what writes the file that it reads, and its name.
_FORMS: dict[str, tuple[Callable[..., list[str]], str]] = {
  "xla": (to_jax.write, to_jax.FILE),
  "onnxruntime": (to_onnx.write, to_onnx.FILE),
}
_INT8, _CALIBRATION = "int8", 8  # the network's name; images


def time_ticket(
  path: epath.PathLike,
  engines: Sequence[str],
  batches: Sequence[int],
  threads: Sequence[int],
) -> list[dict[str, Any]]:
  """Times a ticket beside its dense network.

  Args:
    path: file of the ticket.
    engines: names of `engines.ENGINES`.
    batches: images a call.
    threads: threads, on a CPU.

  Returns:
    A line a network, engine, number of threads and batch, as the study's
    `times.jsonl` has them.

  Raises:
    UserError: the file is no ticket, one that an engine does not take, or a
      process that timed it failed.
  """
  ticket = load(path)
  networks = list_networks(ticket)
  about = {
    "sha256": digests.describe(files.read(path))["sha256"],
    **{
      name: ticket.meta[name]
      for name in ("task", "seed", "round", "kind", "density")
      if name in ticket.meta
    },
  }
  counts, lines = _count(networks), []
  folder = pathlib.Path(tempfile.mkdtemp(prefix="sslprune_time_"))
  with endings.removing(folder):
    written = write(networks, engines, folder)
    # One number of threads after another: their processes would share cores.
    for count in threads:
      sides = [turns.Side(e, file, count) for e, _, file in written]
      found = turns.take_turns(sides, batches)
      lines += [
        about
        | {"network": name, "engine": engine, "threads": count, "batch": batch}
        | dataclasses.asdict(times)
        | {"file_bytes": file.stat().st_size, **counts[name]}
        for batch, row in found.items()
        for (engine, name, file), times in zip(written, row, strict=True)
      ]
  return lines


def list_networks(ticket: Ticket) -> dict[str, Ticket]:
  """Lists what a ticket is timed as.

  Args:
    ticket: ticket with a linear head, or without one.

  Returns:
    "dense", the network that was pruned, of weights drawn anew; "masked", the
    ticket as it is, where a mask prunes something; and "shrunk", without the
    channels that are 0, where it is smaller than the dense one.

  Raises:
    TicketError: the ticket does not say which network it is of.
  """
  ticket.section("model", "name", "width")
  found, small = {"dense": draw_dense(ticket)}, ticket
  if masks_lib.density(ticket.masks) < 1:
    found["masked"] = ticket
    small = shrink.shrink(ticket)
  if _size(small) < _size(found["dense"]):
    found["shrunk"] = small
  return found


def draw_dense(ticket: Ticket) -> Ticket:
  """Draws the network that a ticket was pruned from, untrained."""
  meta = copy.deepcopy(ticket.meta)
  meta["config"]["model"]["kept"] = ""
  whole = dataclasses.replace(ticket, meta=meta)
  network = network_of(whole)
  images = jnp.zeros((1, *ticket.image_shape))
  drawn = jax.device_get(network.init(jax.random.key(0), images, train=False))
  variables = {"batch_stats": {}} | drawn
  masks = masks_lib.dense(variables["params"])
  return dataclasses.replace(whole, masks=masks, **variables)


def count_multiply_adds(ticket: Ticket) -> int:
  """Counts the multiply-adds of an image, but for weights under a mask."""
  masks, leaves = named_leaves(ticket.masks), named_leaves(ticket.params)
  uses = models.uses(network_of(ticket), ticket.image_shape)
  return sum(
    number * int(np.broadcast_to(masks[name], leaves[name].shape).sum())
    for name, number in uses.items()
  )


def _size(ticket: Ticket) -> int:
  return sum(map(np.size, jax.tree.leaves(ticket.params)))


def _count(networks: dict[str, Ticket]) -> dict[str, dict[str, Any]]:
  """Counts the multiply-adds of each network; int8 is of the smallest."""
  found = {name: count_multiply_adds(own) for name, own in networks.items()}
  found[_INT8] = found[list(networks)[-1]]
  return {
    name: {
      "multiply_adds": count,
      "of_dense_multiply_adds": count / found["dense"],
    }
    for name, count in found.items()
  }


def write(
  networks: dict[str, Ticket], engines: Sequence[str], folder: pathlib.Path
) -> list[tuple[str, str, pathlib.Path]]:
  """Writes the files that engines read.

  Args:
    networks: networks by name, the smallest last.
    engines: names of `engines.ENGINES`.
    folder: folder to write into.

  Returns:
    Engine, name and file of each; of ONNX also "int8", the smallest.
  """
  written = []
  for engine in engines:
    write_form, file = _FORMS[engine]
    for name, ticket in networks.items():
      own = folder / engine / name
      own.mkdir(parents=True)
      write_form(Reference(ticket), own)
      written.append((engine, name, own / file))
    if engine == "onnxruntime":  # Of the smallest, which was written last.
      # Time does not depend on how the integers are scaled.
      shape = (_CALIBRATION, *ticket.image_shape)
      images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
      onnx_int8.quantise(Reference(ticket), own, images)
      written.append((engine, _INT8, own / onnx_int8.FILE))
  return written
