"""Files of a run -> checked objects; a broken one is named in one line."""

import collections
import json
import math
import re
from collections.abc import Callable
from typing import Any

from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report.names import TASK_FIELDS
from sslprune_jax.runtime import digests, json_files
from sslprune_jax.runtime.errors import LostFileError, UserError

_KIND = {int: "a whole number", float: "a finite number", str: "a text"}


class ResultsError(UserError, ValueError):
  """A run that cannot be reported, in one line."""


def read_json_lines(file: epath.Path) -> list[tuple[str, dict]]:
  """Reads lines of JSON; see `json_files.read_lines`.

  Raises:
    ResultsError: it is missing, or a line is no JSON object.
  """
  return _read(json_files.read_lines, file)


def read_json(file: epath.Path) -> dict:
  """Reads a JSON object from a file.

  Args:
    file: path of the file.

  Raises:
    ResultsError: it is missing, or no JSON object.
  """
  return _read(json_files.read, file, dict)


def read_lines_of_stages(
  run: epath.Path,
) -> tuple[list[tuple[str, dict]], list[str]]:
  """Reads results.jsonl, which has no digest; the results of its stages have.

  Args:
    run: a workdir; where no stage is kept, lines are taken as they are.

  Returns:
    The place of each line and the line, and sentences on what is left out.

  Raises:
    ResultsError: it is missing, or a line is no JSON object.
  """
  file = run / workdir.RESULTS
  lines, left_out = read_json_lines(file), []
  known: collections.Counter[str] = collections.Counter()
  for folder in workdir.stage_folders(run):
    if (folder / workdir.RESULT).exists():
      try:
        known.update(map(json.dumps, _read_result(folder / workdir.RESULT)))
      except ResultsError as error:
        left_out.append(str(error))
  if not known:
    return lines, left_out
  found = collections.Counter(json.dumps(line) for _, line in lines)
  if lost := (known - found).total():
    left_out.append(
      f"{file}: lacks {lost} of the lines of its stages; the command of the "
      "study writes them"
    )
  kept, left = [], known.copy()
  for where, line in lines:
    text = json.dumps(line)
    if text not in known:
      left_out.append(f"{where}: {_why_unknown(run, line)}")
    elif left[text]:  # Of two processes one may add what the other has read.
      left[text] -= 1
      kept.append((where, line))
  return kept, left_out


def _why_unknown(run: epath.Path, line: dict) -> str:
  """Returns why no stage has a line: its result is lost, or it is no result."""
  try:
    result = run / workdir.folder_of(line) / workdir.RESULT
    if not result.exists():
      return f"of a stage without its result: {result}: missing"
  except (KeyError, TypeError, ValueError, OSError):
    pass
  return "damaged: no line of its stages"


def _read_result(file: epath.Path) -> list[dict]:
  """Reads the lines of a stage; of the first version it is the lines alone."""
  found = _read(json_files.read, file, dict, list)
  if isinstance(found, dict):
    _check_digest(file, digests.stamp(found) == found)
    found = found.get("lines")
  _check_digest(file, isinstance(found, list))
  return found


def _check_digest(file: epath.Path, is_whole: bool) -> None:
  if not is_whole:
    raise ResultsError(
      f"{file}: damaged: its values are not those of its digest"
    )


def _read(reader: Callable, *args: Any) -> Any:
  try:
    return reader(*args)
  except LostFileError as error:
    raise ResultsError(str(error)) from None


def read_config(file: epath.Path) -> dict:
  """Reads config.json of a run.

  Args:
    file: path of the file.

  Returns:
    The object, in which `config` is a resolved configuration.

  Raises:
    ResultsError: it is missing, damaged, or no such object.
  """
  about = read_json(file)
  _check_digest(file, digests.is_whole(about))
  config = about.setdefault("config", {})
  for name, section in (("config", config), *_sections(config)):
    if not isinstance(section, dict):
      raise ResultsError(f"{file}: {name}: found {section!r}, expected fields")
  config.setdefault("dataset", {}).setdefault("name", "data")
  for name in config.get("variants", {}):  # Each names a folder.
    if not re.fullmatch(r"[a-z0-9_]+", name):
      raise ResultsError(
        f"{file}: variants: found the name {name!r}, expected lower case "
        "letters, digits and _"
      )
  for section, name in (("model", "name"), ("dataset", "name"), ("", "figure")):
    value = (config.get(section, {}) if section else config).get(name, "")
    if not isinstance(value, str):
      raise ResultsError(
        f"{file}: {section}.{name}: found {value!r}, expected a text"
      )
  return about


def _sections(config: object) -> list[tuple[str, object]]:
  names = ("model", "dataset", "train", "prune", "variants")
  is_whole = isinstance(config, dict)
  return [(n, config[n]) for n in names if n in config] if is_whole else []


def read_tasks(file: epath.Path) -> dict[str, dict[str, str]]:
  """Reads what a run says of its tasks; those of the first version say nothing.

  Args:
    file: config.json of a run.

  Returns:
    task -> its "label", "colour" ("#0072B2") and "problem", as far as said.

  Raises:
    ResultsError: a field is no text, or the colour no such colour.
  """
  tasks = read_json(file).get("tasks", {})
  if not isinstance(tasks, dict):
    raise ResultsError(f"{file}: tasks: found {tasks!r}, expected an object")
  for task, row in tasks.items():
    if not isinstance(row, dict):
      raise ResultsError(
        f"{file}: tasks.{task}: found {row!r}, expected its label, colour, ..."
      )
    for field in TASK_FIELDS:
      value = row.get(field, "")
      if not isinstance(value, str):
        raise ResultsError(
          f"{file}: tasks.{task}.{field}: found {value!r}, expected a text"
        )
    if not re.fullmatch("#[0-9a-fA-F]{6}", row.get("colour", "#000000")):
      raise ResultsError(
        f"{file}: tasks.{task}.colour: found {row['colour']!r}, expected such "
        "as '#0072B2'"
      )
  return tasks


def check_line(line: dict, where: str) -> None:
  """Refuses a line of results that lacks a field, or has an impossible one.

  Args:
    line: object of one line of results.jsonl.
    where: place of the line, for the message.

  Raises:
    ResultsError: the line is not one that a study writes.
  """
  own = workdir.FIELDS.get(str(line.get("stage")), {})
  for field, kind in (dict(workdir.EVERY_STAGE) | own).items():
    if field not in line:
      raise ResultsError(f"{where}: no field {field!r}")
    value = line[field]
    allowed = (int, float) if kind is float else kind
    wrong = isinstance(value, bool) or not isinstance(value, allowed)
    if wrong or (kind is float and not math.isfinite(value)):
      raise ResultsError(
        f"{where}: {field}: found {value!r}, expected {_KIND[kind]}"
      )
  if line["metric"] == "accuracy" and not 0 <= line["value"] <= 1:
    raise ResultsError(
      f"{where}: value: found the accuracy {line['value']}, expected 0 to 1"
    )
  shares = [*(["density"] if own else []), workdir.COST]
  for share in shares:
    value = line.get(share, 1.0)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1:
      raise ResultsError(
        f"{where}: {share}: found {value!r}, expected above 0, at most 1"
      )
  if line["stage"] == workdir.RETRAIN and not isinstance(line.get("init"), str):
    raise ResultsError(
      f"{where}: init: found {line.get('init')!r}, expected a text"
    )
