"""Configuration files: where they lie, and what is wrong with one in a line."""

import contextlib
import difflib
import importlib.util
import inspect
import os
import pathlib
import re
import sys
import traceback
from collections.abc import Iterator

from ml_collections import ConfigDict

from sslprune_jax.config.base import every_field
from sslprune_jax.config.values import lookup
from sslprune_jax.runtime.errors import UserError

_PACKAGE = pathlib.Path(__file__).parent.parent
_MODULE = "config_config"  # The name by which ml_collections loads such files.


def own_configs() -> dict[str, pathlib.Path]:
  """Returns the configurations of this package: "paper/fig4_depth" -> file.

  A wheel carries them in the package; beside a checkout's package they lie in
  `configs/`, of which the wheel's are a copy.
  """
  inside, beside = _PACKAGE / "configs", _PACKAGE.parent / "configs"
  folder = inside if inside.is_dir() else beside
  return {
    path.relative_to(folder).with_suffix("").as_posix(): path
    for path in sorted(folder.rglob("*.py"))
  }


def find(name: str) -> pathlib.Path:
  """Returns the file of a configuration.

  Args:
    name: path of a file, or the name of a configuration of this package.

  Raises:
    UserError: there is neither.
  """
  path = pathlib.Path(name)
  with contextlib.suppress(OSError):  # No file has so long a name.
    if path.is_file():
      return path
  known = own_configs()
  if name in known:
    return known[name]
  expected = f"a file, or a name among {', '.join(known)}"
  raise UserError(f"--config: found no file {name!r}, expected {expected}")


def load(text: str) -> ConfigDict:
  """Loads a configuration.

  Args:
    text: a file or a name, see `find`; what stands behind a colon is the
      argument of its `get_config`.

  Returns:
    The configuration, locked.

  Raises:
    UserError: there is no such file, its code fails, or it gives no
      configuration. The line names the file, and its line that failed.
  """
  name, *presets = text.split(":", 1)
  path = find(name)
  spec = importlib.util.spec_from_loader(
    _MODULE, importlib.machinery.SourceFileLoader(_MODULE, str(path))
  )
  module = importlib.util.module_from_spec(spec)
  sys.modules[_MODULE] = module  # Dataclasses of the file look for it.
  try:
    spec.loader.exec_module(module)
    make = getattr(module, "get_config", None)
    if make is None:
      raise UserError(f"{path}: found no get_config, expected that function")
    _check_preset(make, path, presets)
    config = make(*presets)
  except UserError as error:  # Raised as it is, lest absl think it its own.
    raise UserError(*error.args) from error
  except (Exception, SystemExit) as error:
    raise UserError(_failure(error, path)) from error
  if not isinstance(config, ConfigDict):
    raise UserError(
      f"{path}: found {type(config).__name__} from get_config, expected a "
      "ConfigDict"
    )
  _check_whole(config, path)
  return config.lock()


def _check_whole(config: ConfigDict, path: pathlib.Path) -> None:
  """Refuses what was not begun by `base()`, and variants that are no fields."""
  for name in every_field():
    try:
      lookup(config, name)
    except (KeyError, AttributeError, TypeError):
      raise UserError(
        f"{path}: config.{name}: found none, expected the fields of "
        "sslprune_jax.config.base()"
      ) from None
  sections = {"variants": config.get("variants")}
  if isinstance(config.get("variants"), ConfigDict):
    sections |= {f"variants.{n}": own for n, own in config.variants.items()}
  for name, section in sections.items():
    if not isinstance(section, ConfigDict):
      raise UserError(
        f"{path}: config.{name}: found {section!r}, expected a ConfigDict"
      )


def _check_preset(make, path: pathlib.Path, presets: list[str]) -> None:
  """Refuses a colon where `get_config` takes no argument, and the reverse."""
  try:
    inspect.signature(make).bind(*presets)
  except TypeError:
    if presets:
      raise UserError(
        f"{path}:{presets[0]}: found {presets[0]!r} after the colon, expected "
        "none: its get_config takes no argument"
      ) from None
    raise UserError(
      f"{path}: found nothing after a colon, expected the argument of its "
      "get_config there"
    ) from None


def _failure(error: BaseException, path: pathlib.Path) -> str:
  """Says in a line what failed in a file, and where: the last line of it."""
  lines = [
    frame.lineno
    for frame in traceback.extract_tb(error.__traceback__)
    if os.path.abspath(frame.filename) == os.path.abspath(path)
  ]
  # A KeyError's text is quoted, with the ends of its lines.
  words = " ".join(str(error).replace("\\n", " ").split())
  if isinstance(error, SyntaxError) and error.filename:
    path, lines, words = error.filename, [error.lineno], error.msg
  line = f":{lines[-1]}" if lines else ""
  return f"{path}{line}: {type(error).__name__}: {words}"


def check_field(config: ConfigDict, field: str) -> None:
  """Refuses the name of a field that cannot be set.

  Args:
    config: the configuration.
    field: dotted name, without `config.`.

  Raises:
    UserError: it is no field, a part of one, or a section.
  """
  found, reached = config, []
  for part in field.split("."):
    if not isinstance(found, ConfigDict):
      raise _part_of_field(reached, found)
    if part not in found.keys():
      name = part.split("[")[0]
      if name in found.keys() and name != part:
        raise _part_of_field([*reached, name], found[name])
      raise UserError(
        f"config.{field}: found no field {_instead(config, field)}"
      )
    found = found[part]
    reached.append(part)
  if isinstance(found, ConfigDict):
    inside = [f"config.{field}.{name}" for name in found.keys()]
    such = f", such as {inside[0]}" if inside else ""
    raise UserError(
      f"config.{field}: found a section, expected one of its fields{such}"
    )


def expected_of(name: str) -> str:
  """Returns what a field may hold, in words; "" where nobody says.

  Args:
    name: dotted name of the field, with `config.`; of a variant too.
  """
  field = re.sub(r"^config\.(variants\.[^.]+\.)?", "", name)
  row = every_field().get(field)
  return row.rule.expected if row else ""


def _part_of_field(reached: list[str], value: object) -> UserError:
  name = f"config.{'.'.join(reached)}"
  return UserError(
    f"{name}: found a part of it, expected the whole field, such as "
    f'--{name}="{value}"'
  )


def _instead(config: ConfigDict, field: str) -> str:
  """Says what a mistyped field may have meant."""
  names = list(_names(config))
  section, _, last = field.rpartition(".")
  beside = {
    name.rpartition(".")[2]: name
    for name in names
    if name.rpartition(".")[0] == section
  }
  same = [name for name in names if name.rpartition(".")[2] == last]
  alike = difflib.get_close_matches(field, same, cutoff=0)  # The closest first.
  alike += [beside[name] for name in difflib.get_close_matches(last, beside)]
  alike = alike or difflib.get_close_matches(field, names, cutoff=0.7)
  if not alike:
    return f"{last!r}, expected one that `sslprune fields` lists"
  such = " or ".join(f"config.{name}" for name in alike[:3])
  return f"{last!r}, expected one such as {such}"


def _names(config: ConfigDict, prefix: str = "") -> Iterator[str]:
  for name, value in config.items():
    if isinstance(value, ConfigDict):
      yield from _names(value, f"{prefix}{name}.")
    else:
      yield prefix + name
