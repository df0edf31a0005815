"""What rounds leave besides lines of results, held against its digests."""

from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report import forms, records
from sslprune_jax.report.records import ResultsError
from sslprune_jax.runtime import digests, json_files
from sslprune_jax.runtime.errors import LostFileError


def read(path: epath.Path, name: str) -> tuple[list[dict], list[str]]:
  """Reads a file of JSON of every round of a workdir.

  Args:
    path: the workdir.
    name: name of the file in the folder of a round.

  Returns:
    The objects with their `seed`, `task` and `round`, and sentences on those
    that cannot be read.
  """
  found, unread = [], []
  for folder in workdir.round_folders(path):
    file = folder / name
    if not file.exists() and not _is_of_stage(file):
      continue  # Of a round that is not done.
    stage = workdir.parse_round(str(folder))
    about = {"seed": stage.seed, "task": stage.task, "round": stage.round}
    try:
      content = _read_of_stage(file)
      forms.check(content, forms.OF_ROUND[name], str(file))
      found.append(about | content)
    except ResultsError as error:
      unread.append(str(error))
  return found, unread


def _read_of_stage(file: epath.Path) -> dict:
  """Reads a JSON object that the result beside it has a digest of.

  Args:
    file: path of the file; of a stage that is not done it is taken as it is.

  Raises:
    ResultsError: it is missing, no JSON object, or not that of its digest.
  """
  found, expected = records.read_json(file), _digest_of(file)
  if expected not in (None, digests.describe(file.read_bytes())):
    raise ResultsError(
      f"{file}: damaged: its bytes are not those of its digest"
    )
  return found


def _is_of_stage(file: epath.Path) -> bool:
  """Returns whether the result beside a file has a digest of it."""
  try:
    return _digest_of(file) is not None
  except ResultsError:  # Said where its lines are read.
    return False


def _digest_of(file: epath.Path) -> dict | None:
  result = file.parent / workdir.RESULT
  if not result.exists():
    return None
  try:
    stage = json_files.read(result, dict, list)
  except LostFileError as error:
    raise ResultsError(str(error)) from None
  known = stage.get("files") if isinstance(stage, dict) else None
  return known.get(file.name) if isinstance(known, dict) else None
