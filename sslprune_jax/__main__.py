"""The command `sslprune`, which is `python -m sslprune_jax` too."""

import os
import runpy
import sys
from collections.abc import Mapping
from typing import Any

from sslprune_jax.runtime import endings

# Each is another module's command line, and stands in no second place.
_COMMANDS = {
  "run": ("main", "Runs a study, from start to report."),
  "transfer": ("transfer", "Judges trained networks on other data."),
  "report": ("report", "Joins the results of runs into one page."),
  "verify": ("study", "Reads all that a run left, for damage."),
  "preflight": ("preflight", "Says what a study costs on a TPU, without one."),
  "import": ("exchange", "Reads a network of others as a ticket."),
  "export": ("exchange", "Writes a ticket in forms that others load."),
  "time": ("exchange.timing", "Measures how fast tickets are."),
}
_SHARED = ("exchange",)  # Of several commands: these are told which.
_FIELDS = "Lists what --config.FIELD=VALUE sets: defaults, units, meaning."
_DEFAULT_WIDTH = 40  # Characters of a default; longer ones are cut.


def main() -> int:
  """Runs the command that the first argument names.

  Returns:
    The exit status; of another module's command line it is raised.

  Raises:
    SystemExit: the command has ended.
  """
  endings.watch(resumes=False)
  words = sys.argv[1:]
  if not words or words[0] in ("help", "--help", "-h"):
    print("\n".join(_usage()))
    return 0
  if not sys.flags.safe_path:
    # As `python -m` has it: a configuration imports what lies beside one.
    sys.path[0] = os.getcwd()
  if words[0] == "fields":
    return _print_fields(words[1:])
  if words[0] not in _COMMANDS:
    expected = ", ".join([*_COMMANDS, "fields"])
    endings.refuse(
      f"found the command {words[0]!r}, expected one of {expected}", status=2
    )
  module = f"{__package__}.{_COMMANDS[words[0]][0]}"
  if _COMMANDS[words[0]][0] not in _SHARED:
    # Processes that the command starts are given what is left.
    del sys.argv[1]
  runpy.run_module(module, run_name="__main__", alter_sys=True)
  return 0


def _usage() -> list[str]:
  sentences = {name: text for name, (_, text) in _COMMANDS.items()}
  sentences["fields"] = _FIELDS
  return [
    "Usage: sslprune COMMAND [ARGUMENTS]",
    "",
    *(f"  {name:<10} {text}" for name, text in sentences.items()),
    "",
    "sslprune COMMAND --help says which arguments a command takes.",
  ]


def _print_fields(arguments: list[str]) -> int:
  from sslprune_jax.config import every_field
  from sslprune_jax.runtime.errors import UserError

  parser = endings.ArgumentParser(prog="sslprune fields", description=_FIELDS)
  parser.add_argument(
    "prefix", nargs="?", default="", help="only those that begin so: prune"
  )
  parser.add_argument(
    "--plugins", default="", help="modules that register fields of your own"
  )
  # As a line of the list has it.
  arguments = [word.removeprefix("--config.") for word in arguments]
  flags = parser.parse_args(arguments)
  try:
    if flags.plugins:
      from sslprune_jax.config import plugins

      plugins.load(flags.plugins.split(","))
  except UserError as error:
    endings.refuse(error)
  prefix = flags.prefix.removeprefix("config.")
  rows = {
    name: field
    for name, field in every_field().items()
    if name.startswith(prefix)
  }
  if not rows:
    endings.refuse(
      f"found no field that begins with {prefix!r}, expected such as prune or "
      "transfer.linear"
    )
  try:
    print("\n".join(_lines(rows)), flush=True)
  except BrokenPipeError:  # Of `sslprune fields | head`.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  return 0


def _lines(rows: Mapping[str, Any]) -> list[str]:
  """Returns a line a field, aligned within a section, with a gap after it."""
  sections = {}
  for name, field in rows.items():
    section = name.rpartition(".")[0]
    cells = (f"--config.{name}", _default(field), field.sentence)
    sections.setdefault(section, []).append(cells)
  lines = []
  for cells in sections.values():
    widths = [max(len(row[i]) for row in cells) for i in range(2)]
    lines += [""] if lines else []
    lines += [
      f"{name:<{widths[0]}}  {default:<{widths[1]}}  {sentence}"
      for name, default, sentence in cells
    ]
  return lines


def _default(field: Any) -> str:
  """Returns a default as it is typed, with its unit; a long one is cut."""
  value = field.default
  text = repr(value) if value == "" or not isinstance(value, str) else value
  if len(text) > _DEFAULT_WIDTH and isinstance(value, tuple):
    first = ", ".join(map(repr, value[:2]))
    text = f"({first}, ... {len(value)} values)"
  return f"{text} {field.unit}".strip()


if __name__ == "__main__":
  sys.exit(main())
