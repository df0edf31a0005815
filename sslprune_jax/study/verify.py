"""Reads everything that results stand for, and holds it against its digest.

What is damaged is named with the folder or file to delete: the command of the
study then makes it again, bit for bit.
"""

import json
from collections.abc import Iterator, Sequence

from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime import files
from sslprune_jax.runtime.errors import LostFileError
from sslprune_jax.study import images, overlaps, results
from sslprune_jax.training.checkpoints import Checkpoints

_STAGES = (
  workdir_lib.EVERY_ROUND,
  workdir_lib.EVERY_RETRAINING,
  workdir_lib.EVERY_TRANSFER,
)

Damage = tuple[str, epath.Path]  # what was found, and what to delete


def verify(workdir: epath.Path) -> tuple[list[Damage], int, int]:
  """Reads a workdir.

  Args:
    workdir: folder of a study, or of studies.

  Returns:
    What is damaged, the number of stages that are done, and how many of them
    hold no digest of their files.
  """
  damages, done, unverifiable = [], 0, 0
  variants = {folder.parent for folder in workdir.glob("*/seed_*")}
  for study in [workdir, *sorted(variants)]:
    folders = [folder for each in _STAGES for folder in study.glob(each)]
    folders = [folder for folder in sorted(folders) if results.exists(folder)]
    done += len(folders)
    for folder in folders:
      found, can_be = results.verify(folder)
      if not can_be:
        unverifiable += 1
        found += _damaged_tickets(folder)
      if _has_early_weights(folder):
        found += _damaged_checkpoints(folder / workdir_lib.REWIND)
      damages += [(words, folder) for words in found]
    damages += _damaged_texts(study)
    if folders:
      damages += _damaged_lines(study, folders)
  path = workdir / workdir_lib.OVERLAPS
  damages += [(words, path) for words in overlaps.verify(workdir)]
  return damages, done, unverifiable


def _has_early_weights(folder: epath.Path) -> bool:
  """Returns whether W_k was saved there: by a dense training, if it was one."""
  if folder.name != "round_00" or not (folder / workdir_lib.TICKET).exists():
    return False
  try:
    return any(line.get("updates") for line in results.read(folder))
  except LostFileError:  # Said already.
    return False


def _damaged_tickets(folder: epath.Path) -> Iterator[str]:
  """Reads the tickets of a stage of the first version: they have digests."""
  for path in sorted(folder.glob("*.npz")):
    try:
      tickets.load(path)
    except LostFileError as error:
      yield str(error)


def _damaged_checkpoints(folder: epath.Path) -> Iterator[str]:
  """Reads W_k."""
  if not folder.exists():
    yield f"{folder}: missing, expected W_k"
    return
  checkpoints = Checkpoints(folder, keep=None)
  try:
    checkpoints.verify()
  except LostFileError as error:
    yield str(error)
  finally:
    checkpoints.close()


def _damaged_texts(study: epath.Path) -> Iterator[Damage]:
  """Reads what JSON is no part of a stage's result, and all metrics."""
  path = study / workdir_lib.CONFIG
  if not path.exists():
    yield f"{path}: missing", path
  elif not isinstance(_read(path), dict):
    yield f"{path}: damaged: no JSON object", path
  for path in sorted(study.glob("seed_*/labelled_*.json")):
    found = _read(path)
    if not isinstance(found, dict) or not images.is_whole(found):
      yield f"{path}: damaged: its indices are not those of its digest", path
  for each in _STAGES:
    for path in sorted(study.glob(f"{each}/{workdir_lib.METRICS}")):
      try:
        files.read_json_lines(path)
      except LostFileError as error:
        yield str(error), path.parent


def _damaged_lines(
  study: epath.Path, folders: Sequence[epath.Path]
) -> Iterator[Damage]:
  """Holds results.jsonl against the results of the stages."""
  path = study / workdir_lib.RESULTS
  try:
    expected = [line for folder in folders for line in results.read(folder)]
  except LostFileError:  # Said already.
    return
  if not path.exists():
    yield f"{path}: missing", path
    return
  try:
    found = files.read_json_lines(path)
  except LostFileError as error:
    yield str(error), path
    return
  if sorted(map(json.dumps, found)) != sorted(map(json.dumps, expected)):
    yield f"{path}: damaged: not the lines of the results of its stages", path


def _read(path: epath.Path):
  try:
    return json.loads(path.read_bytes())
  except ValueError:
    return None
