"""A file of ONNX in int8: ONNX Runtime's static quantisation."""

import logging
import pathlib

import numpy as np

from sslprune_jax import data
from sslprune_jax.exchange import images_at_hand, to_onnx
from sslprune_jax.exchange.written import (
  ExportError,
  Reference,
  read,
)
from sslprune_jax.pruning.tickets import Ticket

FILE = "model.int8.onnx"
_CALIBRATION, _SEED = 256, 0  # training images


def open_images(ticket: Ticket) -> data.Source:
  """Opens the images to calibrate on: the training images of a study.

  Args:
    ticket: any ticket.

  Raises:
    ExportError: they are not at hand.
  """
  try:
    return images_at_hand.open_split(ticket, "train")
  except data.DataError as error:
    raise ExportError(
      "--int8: found no training images to calibrate on, expected those of "
      f"the ticket's study ({error})"
    ) from None


def write(
  reference: Reference, train: data.Source, folder: pathlib.Path
) -> list[str]:
  """Writes `model.onnx` once more, of weights and activations in int8.

  Args:
    reference: ticket, and what its files are held against.
    train: images to calibrate on.
    folder: folder that has `model.onnx`.

  Returns:
    A sentence on the file, and on what it predicts.
  """
  rng = np.random.default_rng(_SEED)
  count = min(_CALIBRATION, len(train))
  chosen = np.sort(rng.choice(len(train), count, replace=False))
  quantise(reference, folder, train.read(chosen)["image"])
  reference.add_file(FILE)
  return [
    f"`{FILE}` is the same in int8 (weights of 7 bits by channel, "
    "activations of 8 by ONNX Runtime's static quantisation, calibrated on "
    f"{count} training images of {train.name}); logits are not those of the "
    "ticket. " + _say_quality(reference, folder)
  ]


def quantise(
  reference: Reference, folder: pathlib.Path, images: np.ndarray
) -> None:
  """Writes the file beside `model.onnx`, whatever it predicts.

  Args:
    reference: ticket that `model.onnx` is of.
    folder: folder that has it.
    images: u8[N,H,W,C] to calibrate on.
  """
  from onnxruntime import quantization

  class Reader(quantization.CalibrationDataReader):
    def __init__(self):
      self._rows = iter(images[:, None])

    def get_next(self):
      image = next(self._rows, None)
      if image is None:
        return None
      return to_onnx.feed(reference.prepare(image))

  logging.disable(logging.WARNING)  # That the graph was not simplified first.
  try:
    quantization.quantize_static(
      folder / to_onnx.FILE,
      folder / FILE,
      Reader(),
      per_channel=True,
      # Bytes without a sign are what ReLU leaves, and what x86 multiplies by
      # signed weights; of 7 bits, as sums of 8 overflow where it has no VNNI.
      activation_type=quantization.QuantType.QUInt8,
      weight_type=quantization.QuantType.QInt8,
      reduce_range=True,
      quant_format=quantization.QuantFormat.QDQ,
    )
  finally:
    logging.disable(logging.NOTSET)


def _say_quality(reference: Reference, folder: pathlib.Path) -> str:
  """Says what the file predicts of the test images."""
  if reference.test is None:
    return "What it gives was not tested: no test images were at hand."
  compute = to_onnx.load(folder / FILE)
  found = np.concatenate(
    [compute(reference.prepare(rows["image"])) for rows in read(reference.test)]
  )
  own = reference.logits
  where = f"On the {len(found):,} test images of {reference.test.name}"
  if not reference.ticket.has_linear_head:
    cosine = _cosines(found, own).mean()
    return (
      f"{where} its features have a cosine of {cosine:.4f} to the ticket's."
    )
  same = 100 * (found.argmax(-1) == own.argmax(-1)).mean()
  words = f"{where} it predicts the same on {same:.2f} %"
  right, before = map(reference.say_accuracy, (found, own))
  if not right:
    return f"{words}."
  return f"{words}; {right} are right, of the ticket's {before}."


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
  return (a * b).sum(-1) / np.maximum(lengths, np.finfo(np.float32).tiny)
