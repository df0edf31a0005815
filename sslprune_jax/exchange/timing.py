"""How fast pruned networks are, measured: `sslprune time TICKET ...`."""

import argparse
import os
import re
from collections.abc import Sequence
from typing import Any

import jax
from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import plugins
from sslprune_jax.exchange import measuring, to_onnx
from sslprune_jax.exchange.__main__ import add_plugins
from sslprune_jax.exchange.engines import ENGINES
from sslprune_jax.pruning.tickets import TicketError
from sslprune_jax.runtime import endings, environment, files
from sslprune_jax.runtime.errors import UserError, printable


def main(argv: Sequence[str] | None = None) -> int:
  """Times networks by turns, and prints a table of them.

  Args:
    argv: arguments; those of the process by default.

  Returns:
    The exit status.
  """
  flags = _parse(argv)
  # What is timed has a process of its own: no device is held here.
  jax.config.update("jax_platforms", "cpu")
  try:
    plugins.load(flags.plugins)
    _check_threads(flags.threads)
    if "onnxruntime" in flags.engine:
      to_onnx.check_installed("--engine=onnxruntime")
    for path in map(os.path.expanduser, flags.tickets):
      try:
        lines = measuring.time_ticket(
          path, flags.engine, flags.batch, flags.threads
        )
      except TicketError as error:  # Of one of several.
        words = str(error)
        raise TicketError(
          words if words.startswith(path) else f"{path}: {words}"
        ) from None
      print("\n".join(tabulate(path, lines)), flush=True)
      save(path, lines)
  except (UserError, OSError) as error:
    endings.refuse(error)
  return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  words = (
    "Measures how long tickets take to answer, each beside the dense network, "
    "by turns. What it finds of a study's tickets, the study's report shows."
  )
  parser = endings.ArgumentParser(prog="sslprune time", description=words)
  parser.add_argument("tickets", nargs="+", metavar="TICKET", help="x.npz")
  parser.add_argument(
    "--engine",
    type=_engines,
    default="xla",
    metavar="ENGINE[,ENGINE]",
    help=f"some of {', '.join(ENGINES)} (default: xla, which takes a GPU or a "
    "TPU where there is one)",
  )
  parser.add_argument(
    "--batch",
    type=_numbers,
    default="1,32",
    metavar="IMAGES[,IMAGES]",
    help="images at a time (default: 1,32)",
  )
  parser.add_argument(
    "--threads",
    type=_numbers,
    default="1",
    metavar="THREADS[,THREADS]",
    help="threads of a CPU (default: 1)",
  )
  add_plugins(parser)
  return parser.parse_args(argv)


def tabulate(path: str, lines: Sequence[dict[str, Any]]) -> list[str]:
  """Writes what was measured of a ticket as lines of text.

  Args:
    path: file of the ticket.
    lines: lines from `measuring.time_ticket`.
  """
  header = ["network", "engine", "threads", "batch", "ms (quartiles)"]
  header += ["of dense", "processor ms", "multiply-adds", "file", "memory"]
  dense = {_key(line): line for line in lines if line["network"] == "dense"}
  rows = [header]
  for line in lines:
    times = [1000 * line[name] for name in ("seconds", "lower", "upper")]
    memory = line["memory"]
    rows.append([
      line["network"],
      line["engine"],
      str(line["threads"]),
      str(line["batch"]),
      "{:.4g} ({:.4g} to {:.4g})".format(*times),
      f"{line['seconds'] / dense[_key(line)]['seconds']:.2f}",
      f"{1000 * line['processor_seconds']:.4g}",
      f"{line['of_dense_multiply_adds']:.2f}",
      f"{line['file_bytes'] / 1e6:.2f} MB",
      f"{memory / 1e6:.0f} MB" if memory else "",
    ])  # fmt: skip
  widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
  return [
    f"{printable(str(path))}: on {', '.join(_devices(lines))}",
    *(
      "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))
      for row in rows
    ),
  ]


def save(path: epath.PathLike, lines: Sequence[dict[str, Any]]) -> None:
  """Keeps what was measured of a ticket of a study, in place of earlier times.

  Args:
    path: file of the ticket; of one that lies in no study nothing is kept.
    lines: lines from `measuring.time_ticket`.
  """
  file = _file_of_study(path)
  if not file:
    return
  fields = ("sha256", "network", "engine", "threads", "batch", "device")
  found = files.read_json_lines(file) if file.exists() else []
  kept = {tuple(line.get(f) for f in fields): line for line in found}
  kept |= {tuple(line[f] for f in fields): line for line in lines}
  files.write_json_lines(file, kept.values())


def _file_of_study(path: epath.PathLike) -> epath.Path | None:
  """Returns where a study keeps times, of a ticket of one of its rounds."""
  folder = files.absolute(path).parent
  study = folder.parent.parent.parent
  is_of_study = (study / workdir_lib.CONFIG).exists()
  is_round = folder.match(workdir_lib.EVERY_ROUND)
  return study / workdir_lib.TIMES if is_of_study and is_round else None


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
  return line["engine"], line["threads"], line["batch"]


def _devices(lines: Sequence[dict[str, Any]]) -> list[str]:
  return list(dict.fromkeys(line["device"] for line in lines))


def _engines(text: str) -> list[str]:
  """Reads names of engines."""
  names = text.split(",")
  for name in names:
    if name not in ENGINES:
      raise argparse.ArgumentTypeError(
        f"found {name!r}, expected some of {', '.join(ENGINES)}"
      )
  return list(dict.fromkeys(names))


def _numbers(text: str) -> list[int]:
  if not re.fullmatch("[1-9][0-9]{0,4}(,[1-9][0-9]{0,4})*", text):
    raise argparse.ArgumentTypeError(
      f"found {text!r}, expected numbers from 1 to 99999, such as 1,32"
    )
  return list(dict.fromkeys(map(int, text.split(","))))


def _check_threads(threads: Sequence[int]) -> None:
  cores = environment.threads()
  if max(threads) > cores:
    raise UserError(
      f"--threads: found {max(threads)}, expected at most {cores}, the cores "
      "that this process may run on"
    )


if __name__ == "__main__":
  endings.start(main)
