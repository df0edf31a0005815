"""A ticket -> safetensors by torchvision's names, read again and compared."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from safetensors import numpy as safetensors

from sslprune_jax.exchange import (
  containers,
  fitting,
  layouts,
  names,
  to_torch,
  torchvision,
)
from sslprune_jax.exchange.layouts import Builder, Layout, Source
from sslprune_jax.exchange.tensors import Tensor, in_memory
from sslprune_jax.exchange.written import (
  ExportError,
  Reference,
  make_logits,
  same_arrays,
)
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.trees import named_leaves

FILE, MASKS = "model.safetensors", "masks.safetensors"
_SMALL_STEM = 3  # Side of its kernel.


def write(reference: Reference, folder: pathlib.Path) -> list[str]:
  """Writes the weights of a network, and its masks beside where it has some.

  Args:
    reference: ticket, and what its files are held against.
    folder: folder that is there.

  Returns:
    Sentences on what takes the files.

  Raises:
    ExportError: torchvision's names do not have the network, or what was
      written is not what is read again.
  """
  ticket = reference.ticket
  layout = find_layout(ticket)
  params, masks = named_leaves(ticket.params), masks_lib.prunable(ticket.masks)
  groups = (
    (layout.params, params),
    (layout.batch_stats, named_leaves(ticket.batch_stats)),
  )
  arrays = {}
  for sources, leaves in groups:
    arrays |= _by_their_names(sources, leaves, lambda s: f"{s.name}.{s.leaf}")
  # The library's own files are for their owner alone to read.
  content = safetensors.save(arrays, metadata={"format": "pt"})
  (folder / FILE).write_bytes(content)
  kernels = {
    name: source
    for name, source in layout.params.items()
    if name.endswith("/kernel") and name in masks
  }
  pruned = not all(bits.all() for bits in masks.values())
  if pruned:
    bits = {name: masks[name].astype(np.uint8) for name in kernels}
    rows = _by_their_names(kernels, bits, lambda s: f"{s.name}.weight")
    (folder / MASKS).write_bytes(safetensors.save(rows))
  again = _read(ticket, layout, folder, pruned)
  if not same_arrays(again.variables, ticket.variables) or not same_arrays(
    {name: masks_lib.prunable(again.masks)[name] for name in kernels},
    {name: masks[name] for name in kernels},
  ):
    raise ExportError(f"{FILE}: found other arrays than were written")
  reference.check(FILE, make_logits(again))
  other = _differences(ticket, layout)
  said = _say(layout, other, pruned)
  if other or reference.in_front:
    said += to_torch.write(reference, folder)
  return said


def find_layout(ticket: Ticket) -> Layout:
  """Returns where torchvision's names have each array of a ticket.

  Args:
    ticket: ticket whose head is a linear one of its network, or that has none.

  Raises:
    ExportError: they do not have all of it.
  """
  model, params = ticket.section("model", "name"), named_leaves(ticket.params)
  name, batch_norm = model["name"], model.get("batch_norm", "") != "none"
  build, grid = Builder({}), 0
  if "trunk/fc6/kernel" in params:
    grid = _grid(params)
  outputs = params["head/bias"].size if "head/bias" in params else 0
  known = torchvision.add_network(
    build, name, batch_norm=batch_norm, grid=grid, head=bool(outputs)
  )
  if not known:
    raise ExportError(
      f"found the network {name}, expected for --format=safetensors one that "
      f"torchvision's names have: {', '.join(torchvision.known())}"
    )
  fields = ("name", "width", "sobel", "batch_norm", "kept")
  about = {field: model[field] for field in fields if field in model}
  stem = params.get("trunk/stem/conv/kernel")
  if stem is not None:
    about["stem"] = "small" if len(stem) == _SMALL_STEM else "imagenet"
  channels = ticket.image_shape[-1]
  return Layout(about, 0, channels, build.params, build.batch_stats, outputs)


def _grid(params: Mapping[str, np.ndarray]) -> int:
  """Returns the side of what the first dense layer reads."""
  last = max(name for name in params if name.startswith("trunk/stage5"))
  channels = params[f"{last.rpartition('/')[0]}/kernel"].shape[-1]
  return round((len(params["trunk/fc6/kernel"]) / channels) ** 0.5)


def _by_their_names(
  sources: Mapping[str, Source],
  leaves: Mapping[str, np.ndarray],
  rename: Callable[[Source], str],
) -> dict[str, np.ndarray]:
  """Returns arrays in PyTorch's layout."""
  if sources.keys() != leaves.keys():
    lost = min(sources.keys() ^ leaves.keys())
    raise ExportError(
      f"{lost}: found it in one of the ticket and its network's names"
    )
  return {
    rename(source): layouts.turn_back(np.asarray(leaves[name]), source)
    for name, source in sources.items()
  }


def _read(
  ticket: Ticket, layout: Layout, folder: pathlib.Path, pruned: bool
) -> Ticket:
  """Reads the files as `sslprune import` does, but for the network's widths."""
  masks: dict[str, Tensor] = {}
  if pruned:
    with containers.open_checkpoint(folder / MASKS) as checkpoint:
      tensors = names.flatten(checkpoint.tree)
      masks = {
        name.removesuffix(".weight"): in_memory(tensor.read())
        for name, tensor in tensors.items()
      }
  dataset = ticket.section("dataset", "mean", "std")
  seen = fitting.Input(
    size=ticket.image_shape[0],
    mean=tuple(dataset["mean"]),
    std=tuple(dataset["std"]),
    stem_padding=ticket.section("model").get("stem_padding", -1),
  )
  with containers.open_checkpoint(folder / FILE) as checkpoint:
    found = names.find(names.flatten(checkpoint.tree))
    padding = ticket.section("model").get("padding", "")
    found = dataclasses.replace(found, padding=padding)
    return fitting.make_ticket(found, layout, seen, masks)


def _say(layout: Layout, other: list[str], pruned: bool) -> list[str]:
  """Returns sentences on what takes the files."""
  said = [
    f"`{FILE}` has torchvision's names and layout."
    + (
      f" torchvision's own class does not take it: {', '.join(other)}."
      if other
      else " `load_state_dict(strict=True)` of torchvision's class of "
      f"{layout.outputs} classes takes it."
    )
  ]
  if pruned:
    said.append(
      f"`{MASKS}` has the masks, 1 where a weight remains, by the same names; "
      "the weights under them are 0."
    )
  return said


def _differences(ticket: Ticket, layout: Layout) -> list[str]:
  """Returns what torchvision's class of the network has otherwise."""
  model = layout.model
  grids = [source.grid for source in layout.params.values() if source.grid]
  stock = 6 if model["name"].startswith("alexnet") else 7
  reasons = {
    "channels were sliced out, its widths are uneven": model.get("kept"),
    f"it is {model['width']:g} times as wide": model["width"] != 1,
    "it has no head": not layout.outputs,
    "its stem is 3 x 3": model.get("stem") == "small",
    "it pads as Flax does": ticket.section("model").get("padding"),
    "its stem is padded otherwise": (
      ticket.section("model").get("stem_padding", -1) >= 0
    ),
    "it reads edges, by Sobel's filters": model.get("sobel"),
    f"it reads {layout.channels} channels": layout.channels != 3,
    "its head reads the convolutions": (
      model["name"] in torchvision.WITHOUT_DENSE
    ),
    "its channels are those of DeepCluster": model["name"] == "alexnet",
    "it has batch norm": model["name"] == "alexnet_torchvision"
    and model.get("batch_norm") != "none",
    f"its dense layers read a grid of {grids[0] if grids else 0}": (
      any(grid != stock for grid in grids)
    ),
  }
  return [words for words, holds in reasons.items() if holds]
