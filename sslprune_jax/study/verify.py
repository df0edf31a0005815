"""Reads everything that results stand for, and holds it against its digest.

What is damaged is named with the folder or file to delete: the command of the
study then makes it again, bit for bit.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence

from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime import digests, files
from sslprune_jax.runtime.errors import LostFileError
from sslprune_jax.study import images, overlaps, results
from sslprune_jax.training.checkpoints import Checkpoints

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
    folders = list(filter(results.exists, workdir_lib.stage_folders(study)))
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
    damages += _damaged_metrics(study)
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
  """Reads what JSON is no part of a stage's result."""
  stamped = [study / workdir_lib.CONFIG]
  stamped += study.glob(workdir_lib.LEFT_OUT)
  stamped += sorted(study.glob(f"{workdir_lib.TRAININGS}/*.json"))
  stamped += sorted(
    study.glob(f"seed_*/*/transfer/round_*/{workdir_lib.IDENTITY}")
  )
  for path in stamped:
    with _naming(path) as damages:
      if not digests.is_whole(files.read_json(path, dict)):
        words = f"{path}: damaged: its values are not those of its digest"
        damages.append((words, path))
    yield from damages
  for path in sorted(study.glob("seed_*/labelled_*.json")):
    with _naming(path) as damages:
      if not images.is_whole(files.read_json(path, dict)):
        damages.append(
          (f"{path}: damaged: its indices are not those of its digest", path)
        )
    yield from damages


def _damaged_metrics(study: epath.Path) -> Iterator[Damage]:
  """Reads metrics that are there, and misses those of a stage that trained."""
  for folder in workdir_lib.stage_folders(study):
    path = folder / workdir_lib.METRICS
    updates = _count_updates(folder, path.exists())
    if path.exists() or updates:
      with _naming(folder) as damages:
        lines = files.read_json_lines(path)
        if lines and not files.read(path).endswith(b"\n"):
          words = f"{path}: damaged: its last line is cut, expected a whole one"
          damages.append((words, folder))
        last = lines[-1].get("update", 0) if lines else 0
        if not isinstance(last, int) or last < updates:
          words = f"{path}: damaged: ends at update {last}, expected {updates}"
          damages.append((words, folder))
      yield from damages


def _count_updates(folder: epath.Path, has_metrics: bool) -> int:
  """Returns how many updates the result of a stage says that it made, or 0."""
  try:
    line, *_ = results.read(folder) if results.exists(folder) else [{}]
  except LostFileError:  # Said already.
    return 0
  # Without a mask yet, these controls may be copies.
  is_control = line.get("init") in workdir_lib.CONTROLS
  is_copy = is_control and line.get("round") == 0 and not has_metrics
  return 0 if is_copy else int(line.get("updates", "duration" in line))


@contextlib.contextmanager
def _naming(place: epath.Path) -> Iterator[list[Damage]]:
  """Gives a list, which gets what a file that is read is found to be.

  Args:
    place: file or folder to delete.
  """
  damages: list[Damage] = []
  try:
    yield damages
  except LostFileError as error:
    damages.append((str(error), place))


def _damaged_lines(
  study: epath.Path, folders: Sequence[epath.Path]
) -> Iterator[Damage]:
  """Holds results.jsonl against the results of the stages."""
  path = study / workdir_lib.RESULTS
  try:
    expected = [line for folder in folders for line in results.read(folder)]
  except LostFileError:  # Said already.
    return
  with _naming(path) as damages:
    found = files.read_json_lines(path)
    if sorted(map(json.dumps, found)) != sorted(map(json.dumps, expected)):
      words = f"{path}: damaged: not the lines of the results of its stages"
      damages.append((words, path))
  yield from damages
