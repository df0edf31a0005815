"""Networks in and out: `sslprune import FILE`, `sslprune export TICKET`."""

import argparse
import os
import re
from collections.abc import Sequence

from sslprune_jax.config.datasets import FIELDS
from sslprune_jax.runtime import endings

_LEAST_STD = 1e-6


def main(argv: Sequence[str] | None = None) -> int:
  """Reads a checkpoint of anybody as a ticket, or writes one for others.

  Args:
    argv: arguments; those of the process by default.

  Returns:
    The exit status.
  """
  parser = endings.ArgumentParser(
    prog="sslprune",
    description="Networks of others, as tickets: what this program prunes, "
    "judges and hands over.",
  )
  commands = parser.add_subparsers(
    dest="command", required=True, parser_class=endings.ArgumentParser
  )
  _add_import(commands)
  _add_export(commands)
  flags = parser.parse_args(argv)
  (_export if flags.command == "export" else _import)(flags)
  return 0


def _import(flags: argparse.Namespace) -> None:
  # Imported here, so that --help and a mistyped flag answer at once.
  import numpy as np
  from etils import epath

  from sslprune_jax.exchange import importing
  from sslprune_jax.exchange.fitting import Input
  from sslprune_jax.pruning import tickets
  from sslprune_jax.runtime.errors import UserError

  out = epath.Path(os.path.expanduser(flags.out))
  if out.suffix != ".npz":
    endings.refuse(f"--out={out}: found another ending, expected .npz")
  if out.exists():
    endings.refuse(f"--out={out}: found it there, expected a new file")
  seen = Input(
    size=flags.size,
    mean=flags.mean,
    std=flags.std,
    bgr=flags.bgr,
    stem_padding=flags.stem_padding,
  )
  try:
    imported = importing.import_checkpoint(
      os.path.expanduser(flags.file),
      seen,
      prefix=flags.prefix,
      masks=flags.masks and os.path.expanduser(flags.masks),
    )
    ticket = imported.ticket
    height, width, channels = ticket.image_shape
    dataset = ticket.section("dataset", "mean", "std")
    tickets.save(out, ticket)
  except (UserError, OSError) as error:
    endings.refuse(error)
  count = sum(np.size(leaf) for leaf in _leaves(ticket.params))
  for words in imported.said:
    print(words)
  print(
    f"{out}: {count:,} weights, images of {height} x {width} x {channels}, "
    f"mean {dataset['mean']}, standard deviation {dataset['std']}"
  )


def _export(flags: argparse.Namespace) -> None:
  from sslprune_jax.config import plugins
  from sslprune_jax.exchange import exporting
  from sslprune_jax.runtime.errors import UserError

  try:
    plugins.load(flags.plugins)
    exported = exporting.export_ticket(
      os.path.expanduser(flags.ticket),
      flags.format.split(","),
      os.path.expanduser(flags.out),
      shrinks=flags.shrink,
      in_front=flags.normalise,
      int8=flags.int8,
    )
  except (UserError, OSError) as error:
    endings.refuse(error)
  for words in exported.said:
    print(words)
  print(exported.out)


def _add_import(commands: argparse._SubParsersAction) -> None:
  words = "Reads a checkpoint of PyTorch, safetensors or Flax as a ticket."
  parser = commands.add_parser("import", help=words, description=words)
  parser.add_argument("file", metavar="FILE", help="the checkpoint")
  parser.add_argument(
    "--out", required=True, metavar="TICKET", help="the file to write: x.npz"
  )
  parser.add_argument(
    "--prefix",
    help="what stands before the network's names, such as module.encoder_k, "
    "where a file holds several",
  )
  parser.add_argument(
    "--masks", metavar="FILE", help="masks, by the names of the weights"
  )
  parser.add_argument(
    "--size",
    type=_pixels,
    default=0,
    help="side of its images, in pixels (default: 224; 32 behind a stem of "
    "3 x 3)",
  )
  parser.add_argument(
    "--mean",
    type=_channels(0.0),
    default=FIELDS["mean"].default,
    help="mean of each channel, of pixels in [0, 1] (default: ImageNet's)",
  )
  parser.add_argument(
    "--std",
    type=_channels(_LEAST_STD),
    default=FIELDS["std"].default,
    help="standard deviation of each (default: ImageNet's); --mean=0,0,0 "
    "--std=1,1,1 where pixels were not normalised",
  )
  parser.add_argument(
    "--bgr",
    action="store_true",
    help="the network reads blue first; --mean and --std stay red first",
  )
  parser.add_argument(
    "--stem_padding",
    type=_padding,
    default=-1,
    help="padding of a ResNet's first convolution (default: half its kernel; "
    "2 of solo-learn's for CIFAR)",
  )


def _add_export(commands: argparse._SubParsersAction) -> None:
  words = "Writes a ticket in forms that others load without this program."
  parser = commands.add_parser("export", help=words, description=words)
  parser.add_argument("ticket", metavar="TICKET", help="the ticket: x.npz")
  parser.add_argument(
    "--format",
    required=True,
    metavar="FORMAT[,FORMAT]",
    help="some of safetensors (torchvision's names), onnx, flax (safetensors "
    "of our names) and jax (StableHLO for CPU, GPU and TPU)",
  )
  parser.add_argument(
    "--normalise",
    action="store_true",
    help="put the mean and the deviation of the images in front, where a form "
    "computes: it then takes pixels in [0, 1]",
  )
  parser.add_argument(
    "--int8",
    action="store_true",
    help="write ONNX in int8 too, calibrated on training images of the study",
  )
  parser.add_argument(
    "--out", required=True, metavar="DIR", help="the folder to make"
  )
  parser.add_argument(
    "--shrink",
    action="store_true",
    help="slice out channels that are 0: the files are smaller, and faster",
  )
  add_plugins(parser)


def add_plugins(parser: argparse.ArgumentParser) -> None:
  """Adds the flag that imports what a ticket's network comes from."""
  parser.add_argument(
    "--plugins",
    type=lambda text: text.split(","),
    default=[],
    metavar="MODULE[,MODULE]",
    help="modules to import, which register a network of yours",
  )


def _pixels(text: str) -> int:
  return _read_pixels(text, 1)


def _padding(text: str) -> int:
  return _read_pixels(text, 0)


def _read_pixels(text: str, least: int) -> int:
  if not re.fullmatch("[0-9]{1,4}", text) or not least <= int(text) <= 4096:
    raise argparse.ArgumentTypeError(
      f"found {text!r}, expected pixels, {least} to 4096"
    )
  return int(text)


def _channels(least: float):
  """Returns what reads a number a channel, from `least` to 1."""

  def read(text: str) -> tuple[float, ...]:
    try:
      found = tuple(float(word) for word in text.split(","))
    except ValueError:
      found = ()
    if len(found) not in (1, 3) or not all(least <= x <= 1 for x in found):
      raise argparse.ArgumentTypeError(
        f"found {text!r}, expected 1 or 3 numbers from {least:g} to 1, such "
        "as 0.5,0.5,0.5"
      )
    return found

  return read


def _leaves(tree):
  from sslprune_jax.runtime.trees import named_leaves

  return named_leaves(tree).values()


if __name__ == "__main__":
  endings.start(main)
