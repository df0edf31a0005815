"""Transfers of tickets, without the study that made them."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import from_json, plugins, protocols, rules
from sslprune_jax.config.datasets import VIEWS
from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.config.rules import IMAGE_SHAPE, NAME, Rule, whole
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.tickets import Ticket, TicketError
from sslprune_jax.runtime import digests, files, processes
from sslprune_jax.runtime.errors import ConfigError, LostFileError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import listings, provenance, results, stages, validation
from sslprune_jax.study.plan import parts, transfers
from sslprune_jax.study.transfers import Transfers
from sslprune_jax.workdir import UNTRAINED, TransferStage

_OF_TICKET = ("model", "dataset", "prune")
# What a ticket must say; task, seed and round name a folder.
_META = {
  "config": Rule(
    f"the sections {_OF_TICKET}",
    lambda config: all(isinstance(config[name], dict) for name in _OF_TICKET),
  ),
  "image_shape": IMAGE_SHAPE,
  "seed": whole(0, 2**32 - 1),
  "task": NAME,
  "round": whole(0, 999),
  "plugins": Rule(
    "plug-ins, each with its target, or none",
    lambda rows: all(
      isinstance(row["target"], str) for row in (rows or {}).values()
    ),
  ),
}


def run(
  config: ConfigDict,
  paths: Sequence[epath.PathLike],
  workdir: epath.PathLike,
  *,
  accept_numerics: bool = False,
) -> list[dict[str, Any]]:
  """Judges tickets on other data.

  Args:
    config: configuration, whose `transfer` says on which data, and how; the
      network, and how it sees an image, are those of the tickets.
    paths: tickets, or folders that hold `trained.npz`.
    workdir: folder where everything is written.
    accept_numerics: whether other numerics go on; see `provenance.record`.

  Returns:
    The lines of results.jsonl: those of tickets judged earlier too.

  Raises:
    ConfigError: an impossible configuration, before any device work.
    TicketError: what is no ticket, or does not fit.
  """
  provenance.agree(config)
  loaded = {path: _load(epath.Path(os.path.expanduser(path))) for path in paths}
  config = _of_tickets(config, loaded)
  _validate(config, next(iter(loaded)))
  _check_alone(config)
  workdir = epath.Path(os.path.expanduser(workdir))
  identities = _identify(loaded, workdir)
  planned = _plan(config, loaded.values())
  first = next(iter(loaded.values()))
  judge = Transfers(config, tuple(first.meta["image_shape"]))
  progress = Progress()
  # Opens the targets: one that is not there claims no workdir.
  count = sum(judge.num_images(stage) for stage in planned)
  seen = listings.describe_targets(config)
  provenance.agree_on(seen)
  with stages.hold(workdir, (0, 1)):
    provenance.record(
      config, workdir, targets=seen, accept_numerics=accept_numerics
    )
    for file, identity in identities.items():
      files.write_json(file, identity)
    progress.start(count)
    with contextlib.closing(progress):
      for stage, ticket in planned.items():
        ticket = ticket or judge.random(stage.seed)
        stages.run_once(
          workdir,
          stage.path,
          judge.num_images(stage),
          lambda s=stage, t=ticket: judge.run(s, t, workdir, progress),
          progress,
        )
    return processes.from_first(lambda: _join_results(workdir))


def _validate(config: ConfigDict, where: epath.PathLike) -> None:
  """Validates a configuration; what is a ticket's of it is said so."""
  try:
    validation.validate(config)
  except ConfigError as error:
    if str(error).startswith(tuple(f"config.{name}." for name in _OF_TICKET)):
      raise TicketError(f"{where}: meta.{error}") from None
    raise


def _check_alone(config: ConfigDict) -> None:
  """Refuses what is for studies alone."""
  named = config.transfer.protocols
  if not named:
    raise ConfigError(
      "config.transfer.protocols: found none, expected at least one, such as "
      "('linear:digits',)"
    )
  for protocol, *_ in map(parts, named):
    if protocols.find(protocol).every_round:
      raise ConfigError(
        f"config.transfer.protocols: found {protocol!r}, expected it in a "
        "study: its rounds are those of the study"
      )
  if config.variants:
    raise ConfigError(
      f"config.variants: found {tuple(config.variants)}, expected none: the "
      "networks are the tickets'"
    )


def _identify(
  loaded: dict[epath.PathLike, Ticket], workdir: epath.Path
) -> dict[epath.Path, dict[str, Any]]:
  """Returns which ticket each folder is of, by its file; refuses two of one."""
  identities = {}
  for path, ticket in loaded.items():
    seed, task, index = _origin(ticket)
    folder = workdir / f"seed_{seed}/{task}/transfer/round_{index:02d}"
    file = folder / workdir_lib.IDENTITY
    identity = digests.stamp({"ticket": ticket.meta["sha256"]})
    there = files.read_json(file, dict) if files.exists(file) else identity
    if not digests.is_whole(there):
      raise LostFileError(
        f"{file}: damaged: its values are not those of its digest"
      )
    if there == {"sha256": ticket.meta["sha256"]}:  # As it was of old.
      there = identity
    if identity != identities.setdefault(file, there):
      raise ConfigError(
        f"--ticket={path}: found another ticket of seed {seed}, {task}, round "
        f"{index} than that judged in {workdir}, expected the same; give each "
        "a --workdir"
      )
  return identities


def _plan(
  config: ConfigDict, loaded: Iterable[Ticket]
) -> dict[TransferStage, Ticket | None]:
  """Returns what is judged in which stage; None for an untrained network."""
  planned = {}
  for ticket in loaded:
    seed, task, index = _origin(ticket)
    if config.transfer.random:
      for stage in transfers(config, seed, UNTRAINED, (0,)):
        planned[stage] = None
    for stage in transfers(config, seed, task, (index,)):
      planned[stage] = ticket
  return planned


def _origin(ticket: Ticket) -> tuple[int, str, int]:
  return tuple(ticket.meta[field] for field in ("seed", "task", "round"))


def _join_results(workdir: epath.Path) -> list[dict[str, Any]]:
  """Writes the results of all tickets, those judged earlier among them."""
  folders = sorted(workdir.glob(workdir_lib.EVERY_TRANSFER))
  lines = [
    line
    for folder in folders
    if results.exists(folder)
    for line in results.read(folder)
  ]
  files.write_json_lines(workdir / workdir_lib.RESULTS, lines)
  return lines


def _load(path: epath.Path) -> Ticket:
  is_folder = processes.from_first(path.is_dir)
  ticket = tickets.load(path / workdir_lib.TRAINED if is_folder else path)
  for field, rule in _META.items():
    try:
      rule.check(field, ticket.meta.get(field))
    except ConfigError as error:
      words = str(error).removeprefix("config.")
      raise TicketError(f"{path}: meta.{words}") from None
  plugins.check(ticket.meta.get("plugins") or {}, NETWORKS, str(path))
  return ticket


def _of_tickets(
  config: ConfigDict, loaded: dict[epath.PathLike, Ticket]
) -> ConfigDict:
  """Returns a configuration with the tickets' network, and what it sees."""
  where, *_ = loaded
  first = loaded[where].meta["config"]
  for path, ticket in loaded.items():
    for section in ("model", "dataset"):
      if ticket.meta["config"][section] != first[section]:
        raise ConfigError(
          f"--ticket={path}: found another {section} than that of {where}, "
          "expected the same; give each a --workdir"
        )
  config = config.copy_and_resolve_references()
  config.views.update(rules.section(VIEWS))  # Of finding masks alone.
  for section in _OF_TICKET:
    try:
      config[section].update(from_json(first[section]))
    except (KeyError, AttributeError, TypeError) as error:
      raise TicketError(
        f"{where}: made by another version: {section}: {error}"
      ) from None
  config.transfer.rounds = ()  # Those of the tickets, which may follow later.
  config.retrain.rounds = ()  # Nothing is retrained here.
  return config
