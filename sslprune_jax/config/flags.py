"""The configuration on a command line: --config, its fields, and mistakes."""

import re
import sys

from absl import flags
from ml_collections import config_flags

from sslprune_jax.config import files as config_files
from sslprune_jax.config import rounds
from sslprune_jax.runtime import endings
from sslprune_jax.runtime.errors import UserError

# Flags that are defined here are those of the command that asks for them.
flags.disclaim_key_flags()
_notes = []


class _ConfigParser(flags.ArgumentParser):
  """Loads what --config names, and refuses mistyped fields of it."""

  def parse(self, argument):
    config = config_files.load(argument)
    for field in _fields_given():
      config_files.check_field(config, field)
    return config

  def flag_type(self):
    return "config object"


def _fields_given() -> list[str]:
  """Returns the fields of the configuration that the command line sets."""
  words = flags.FLAGS.read_flags_from_files(sys.argv[1:], False)
  found = (re.match(r"--?(?:no)?config\.([^=]*)", word) for word in words)
  return [field[1] for field in found if field]


def define_config(text: str) -> flags.FlagHolder:
  """Defines --config, with a text for --help."""
  try:
    holder = config_flags.DEFINE_config_file("config", None, text)
  except flags.Error as error:  # Of a --flagfile, which it reads here.
    endings.refuse(error)
  # Of ml_collections', some mistakes end in a traceback, or in no word at all.
  flags.FLAGS["config"].parser = _ConfigParser()
  return holder


def parse(argv: list[str]) -> list[str]:
  """Parses the flags, and returns the name of the program in a list."""
  try:
    if "plugins" in flags.FLAGS:
      _load_plugins(argv)
    argv = flags.FLAGS(argv)
  except SystemExit:  # absl ends with 1 after --help.
    sys.exit(0)
  except UserError as error:
    endings.refuse(error)
  except flags.UnrecognizedFlagError as error:
    name = error.flagname
    if not re.match(r"(no)?config\.", name):
      endings.refuse(f"found no flag --{name}, see --help", status=2)
    if flags.FLAGS["config"].value is None:
      endings.refuse(f"--config: found none, expected it before --{name}")
    endings.refuse(f"--{name}: expected a field of true or false behind --no")
  except (flags.Error, ValueError) as error:
    endings.refuse(_mistake(str(error)))
  if len(argv) > 1:
    endings.refuse(f"found the argument {argv[1]!r}, expected flags only")
  if "config" in flags.FLAGS and flags.FLAGS["config"].value is not None:
    _notes[:] = rounds.leave_out(flags.FLAGS["config"].value, _fields_given())
  return argv


def _load_plugins(argv: list[str]) -> None:
  """Imports the modules of --plugins: a configuration may need their rows."""
  alone = flags.FlagValues()
  flags.DEFINE_list("plugins", [], "", flag_values=alone)
  alone.set_gnu_getopt()  # Words that are no flags do not end them.
  alone(argv, known_only=True)
  if alone.plugins:
    from sslprune_jax.config import plugins

    plugins.load(alone.plugins)


def _mistake(words: str) -> str:
  """Returns what absl says of a value as what was found and expected."""
  found = re.match(r"flag --([^=]+)=(.*?): ", words, re.DOTALL)
  if not found:
    return " ".join(words.split())
  name, value = found.groups()
  is_field = name.startswith("config.")
  expected = config_files.expected_of(name) if is_field else ""
  if not expected and flags.FLAGS[name].boolean:
    expected = "true or false"
  expected = expected or flags.FLAGS[name].parser.syntactic_help
  name = name if is_field else f"--{name}"
  return f"{name}: found {value!r}, expected {expected or 'another form'}"


def notes() -> list[str]:
  """Returns what a command says of its configuration as it begins."""
  return _notes
