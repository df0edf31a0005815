"""Networks of a study that is done, smaller, in forms that others load."""

import shutil
from collections.abc import Iterator
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import rounds
from sslprune_jax.exchange import exporting, torchvision
from sslprune_jax.runtime import digests, files, processes
from sslprune_jax.runtime.errors import ConfigError, LostFileError
from sslprune_jax.workdir import Stage


def check(config: ConfigDict, workdir: epath.Path) -> None:
  """Refuses forms that cannot be written, before anything is trained.

  Args:
    config: configuration of a study.
    workdir: its folder.

  Raises:
    ConfigError: a library is missing, a form does not have the network, or the
      study lies in a bucket.
  """
  formats = config.export.formats
  if not formats:
    return
  if files.in_bucket(workdir):
    raise ConfigError(
      f"config.export.formats: found {tuple(formats)}, expected () for a study "
      f"in a bucket, {workdir}: `sslprune export` writes its tickets"
    )
  exporting.check_formats(formats)
  known = torchvision.known()
  if "safetensors" in formats and config.model.name not in known:
    raise ConfigError(
      f"config.export.formats: found 'safetensors' of the network "
      f"{config.model.name}, expected one that torchvision's names have: "
      f"{', '.join(known)}; or flax or jax, which have every network"
    )


def write(config: ConfigDict, workdir: epath.Path) -> list[epath.Path]:
  """Writes the networks of `export.rounds`, but for what is there.

  Args:
    config: configuration of a study that is done.
    workdir: its folder.

  Returns:
    The folders, of this run or of earlier ones.

  Raises:
    ExportError: a form does not have the network.
  """
  return processes.from_first(lambda: list(_write(config, workdir)))


def _write(config: ConfigDict, workdir: epath.Path) -> Iterator[epath.Path]:
  formats = list(config.export.formats)
  if not formats:
    return
  for stage in _stages(config):
    ticket = workdir / stage.path / workdir_lib.TRAINED
    out = workdir / stage.path / workdir_lib.EXPORT
    if not _is_there(out, ticket, formats):
      shutil.rmtree(out, ignore_errors=True)  # Of other forms, or damaged.
      exporting.export_ticket(ticket, formats, out, shrinks=True)
    yield out


def _stages(config: ConfigDict) -> Iterator[Stage]:
  last = rounds.last(config.prune)
  for seed in config.seeds:
    for task in config.tasks:
      for index in config.export.rounds or (last,):
        yield Stage(seed, task, index)


def _is_there(out: epath.Path, ticket: epath.Path, formats: list[str]) -> bool:
  """Returns whether a folder is what would be written, whole."""
  path = out / exporting.CONFIG
  if not path.exists():
    return False
  try:
    about = files.read_json(path, dict)
    written = {out / name: held for name, held in about["files"].items()}
    is_of_ticket = about["ticket"]["sha256"] == _describe(ticket)["sha256"]
    is_whole = all(_describe(path) == held for path, held in written.items())
  except (LostFileError, OSError, KeyError, TypeError, AttributeError):
    return False
  return is_of_ticket and is_whole and about.get("formats") == formats


def _describe(path: epath.Path) -> dict[str, Any]:
  return digests.describe(files.read(path))
