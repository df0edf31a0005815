"""A ticket -> a folder of files that others load without this package."""

import dataclasses
import glob
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from etils import epath

from sslprune_jax import __version__, data
from sslprune_jax.exchange import (
  heads,
  images_at_hand,
  model_card,
  onnx_int8,
  shrink,
  to_flax,
  to_jax,
  to_onnx,
  to_torchvision,
)
from sslprune_jax.exchange.written import ExportError, Reference
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import digests, endings, files
from sslprune_jax.runtime.trees import named_leaves

# What writes a form into a folder, holds it against the ticket, and says what
# takes it.
FORMATS: dict[str, Callable[[Reference, pathlib.Path], list[str]]] = {
  "safetensors": to_torchvision.write,
  "onnx": to_onnx.write,
  "flax": to_flax.write,
  "jax": to_jax.write,
}
CONFIG, CARD = "config.json", "README.md"


@dataclasses.dataclass(frozen=True)
class Exported:
  """What was written.

  Attributes:
    out: the folder.
    said: sentences on its files.
  """

  out: pathlib.Path
  said: list[str]


def export_ticket(
  path: epath.PathLike,
  formats: Sequence[str],
  out: epath.PathLike,
  *,
  shrinks: bool = False,
  in_front: bool = False,
  int8: bool = False,
) -> Exported:
  """Writes a ticket in forms of others, all of them or nothing.

  Args:
    path: file of the ticket.
    formats: names of `FORMATS`.
    out: folder to be, or an empty one.
    shrinks: whether channels that are 0 are sliced out first.
    in_front: whether forms that compute take pixels in [0, 1], and normalise
      them.
    int8: whether ONNX is written in int8 too.

  Returns:
    The folder, and what its files are.

  Raises:
    ExportError: an unknown form, one that does not have the network, a folder
      that holds something, or a file that is read as another network.
    TicketError: the file is no ticket, or does not say how its network sees
      images.
  """
  check_formats(formats)
  if int8 and "onnx" not in formats:
    raise ExportError(
      f"--int8: found --format={','.join(formats)}, expected onnx among them: "
      "the file in int8 is made of it"
    )
  out = _check_folder(out)
  ticket = heads.load(path)
  ticket.check_network(heads.network_of(ticket))
  if shrinks:
    ticket = shrink.shrink(ticket)
  config = _describe(ticket, path)
  train = onnx_int8.open_images(ticket) if int8 else None
  reference = _open_reference(ticket, in_front)
  for begun in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
    shutil.rmtree(begun, ignore_errors=True)  # One that was killed.
  folder = out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")
  with endings.removing(folder):
    folder.mkdir(parents=True)
    said = _fill(folder, reference, list(dict.fromkeys(formats)), train, config)
    os.rename(folder, out)
  return Exported(out, [*said, reference.say()])


def _fill(
  folder: pathlib.Path,
  reference: Reference,
  formats: list[str],
  train: data.Source | None,
  config: dict[str, Any],
) -> list[str]:
  """Writes all files of an export; returns sentences on those of the forms."""
  said = [words for f in formats for words in FORMATS[f](reference, folder)]
  if train:
    said += onnx_int8.write(reference, train, folder)
  made = {
    "formats": formats,
    "take_pixels": reference.take_pixels,
    "files": _list_files(folder),
  }
  files.write_json(folder / CONFIG, config | made)
  card = model_card.write(config | made, said, reference)
  files.write(folder / CARD, card.encode())
  return said


def _open_reference(ticket: Ticket, in_front: bool) -> Reference:
  """Returns what files are held against."""
  try:
    test = images_at_hand.open_split(ticket, "test")
  except data.DataError as error:
    return Reference(ticket, in_front=in_front, absent=str(error))
  return Reference(ticket, in_front=in_front, test=test)


def check_formats(formats: Sequence[str]) -> None:
  """Refuses forms that there are not, or whose extra is not installed."""
  lost = [form for form in formats if form not in FORMATS]
  if lost or not formats:
    raise ExportError(
      f"--format: found {', '.join(map(repr, lost)) or 'none'}, expected some "
      f"of {', '.join(FORMATS)}"
    )
  if "onnx" in formats:
    to_onnx.check_installed()


def _check_folder(out: epath.PathLike) -> pathlib.Path:
  if files.in_bucket(out):
    raise ExportError(f"--out={out}: found a bucket, expected a folder here")
  path = pathlib.Path(out).resolve()
  held = sorted(os.listdir(path)) if path.is_dir() else []
  if held or (path.exists() and not path.is_dir()):
    found = f"{held[0]} in it" if held else "a file"
    raise ExportError(
      f"--out={out}: found {found}, expected a new folder or an empty one"
    )
  return path


def _describe(ticket: Ticket, path: epath.PathLike) -> dict[str, Any]:
  """Returns what `config.json` says of a network, but for the files."""
  model = ticket.section("model", "name", "width")
  dataset = ticket.section("dataset", "mean", "std")
  height, width, channels = ticket.image_shape
  for field in ("mean", "std"):
    if len(dataset[field]) != channels:
      raise ExportError(
        f"meta.config.dataset.{field}: found {len(dataset[field])} numbers, "
        f"expected {channels}, one a channel"
      )
  params = named_leaves(ticket.params)
  head = params.get("head/bias")
  said = ("task", "kind", "seed", "round", "source", "start")
  return {
    "network": model["name"],
    "width": model["width"],
    "shrunk": bool(model.get("kept")),
    "channels_of_layers": {
      name.removeprefix("trunk/").removesuffix("/kernel"): leaf.shape[-1]
      for name, leaf in params.items()
      if name.startswith("trunk/") and name.endswith("/kernel")
    },
    "sobel": bool(model.get("sobel")),
    "stem_padding": model.get("stem_padding", -1),
    "padding": model.get("padding", ""),
    "image_size": [height, width],
    "channels": channels,
    "mean": list(dataset["mean"]),
    "std": list(dataset["std"]),
    "classes": None if head is None else int(head.size),
    "density": masks_lib.density(ticket.masks),
    "weights": int(sum(np.size(leaf) for leaf in params.values())),
    "ticket": {
      "sha256": digests.describe(files.read(path))["sha256"],
      **{name: ticket.meta[name] for name in said if name in ticket.meta},
    },
    "sslprune_jax": __version__,
  }


def _list_files(folder: pathlib.Path) -> dict[str, Any]:
  paths = sorted(folder.iterdir())
  return {path.name: digests.describe(path.read_bytes()) for path in paths}
