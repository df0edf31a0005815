"""A module in plain PyTorch, beside weights that no other class takes."""

import importlib.util
import pathlib
from importlib import resources
from typing import Any

import numpy as np

from sslprune_jax.exchange.written import Reference

FILE = "model.py"
_SOURCE, _SETTINGS = "torch_model.py", "SETTINGS: dict = {}"


def write(reference: Reference, folder: pathlib.Path) -> list[str]:
  """Writes the module, and runs it where PyTorch is installed.

  Args:
    reference: ticket, and what its files are held against.
    folder: folder that has the weights.

  Returns:
    A sentence on the file.

  Raises:
    ExportError: it gives out something else than the ticket.
  """
  ticket = reference.ticket
  model = ticket.section("model")
  settings = {
    "sobel": bool(model.get("sobel")),
    "same": model.get("padding") == "same",
    "stem_padding": model.get("stem_padding", -1),
    "head": ticket.has_linear_head,
    "in_front": reference.in_front,
    **{k: list(ticket.section("dataset", k)[k]) for k in ("mean", "std")},
  }
  (folder / FILE).write_text(_fill(settings))
  ran = bool(importlib.util.find_spec("torch"))
  if ran:
    _check(reference, folder)
  else:
    reference.add_file(FILE)
  return [
    f"`{FILE}` is the network in plain PyTorch, of these widths: its `load()` "
    "reads the weights beside it, strictly, and it maps "
    f"{reference.images}, f32[batch, channels, height, width], to logits"
    + ("." if ran else "; PyTorch is not installed here, so it was not run.")
  ]


def _fill(settings: dict[str, Any]) -> str:
  """Returns the module's text, with what the weights do not say."""
  text = resources.files(__package__).joinpath(_SOURCE).read_text()
  lines = [f'  "{name}": {value!r},\n' for name, value in settings.items()]
  return text.replace(_SETTINGS, f"{_SETTINGS[:-1]}\n{''.join(lines)}}}")


def _check(reference: Reference, folder: pathlib.Path) -> None:
  import torch

  spec = importlib.util.spec_from_file_location("written_model", folder / FILE)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  network = module.load(folder)

  def compute(images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
      rows = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
      return network(rows).numpy()

  reference.check(FILE, compute, computes=True)
