"""Transfers of tickets, without the study that made them."""

from collections.abc import Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.tickets import Ticket, TicketError
from sslprune_jax.runtime import files, processes
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.study import provenance, stages, validation
from sslprune_jax.study.plan import transfers
from sslprune_jax.study.transfers import Transfers
from sslprune_jax.workdir import UNTRAINED

_OF_TICKET = ("model", "dataset", "prune")


def run(
  config: ConfigDict, paths: Sequence[epath.PathLike], workdir: epath.PathLike
) -> list[dict[str, Any]]:
  """Judges tickets on other data.

  Args:
    config: its `transfer` says on which, and how; the network, and how it sees
      an image, are those of the tickets.
    paths: tickets, or folders that hold `trained.npz`.
    workdir: where everything is written.

  Returns:
    The lines of results.jsonl: those of tickets judged earlier too.

  Raises:
    ConfigError: an impossible configuration, before any device work.
    TicketError: what is no ticket, or does not fit.
  """
  provenance.agree(config)
  loaded = [_load(epath.Path(path)) for path in paths]
  first = loaded[0].meta["config"]
  for path, ticket in zip(paths, loaded, strict=True):
    for section in ("model", "dataset"):
      if ticket.meta["config"][section] != first[section]:
        raise ConfigError(
          f"--ticket={path}: found another {section} than that of {paths[0]}, "
          "expected the same; give each a --workdir"
        )
  config = _of_ticket(config, first, paths[0])
  config.transfer.rounds = ()  # Those of the tickets, which may follow later.
  validation.validate(config)
  if not config.transfer.protocols:
    raise ConfigError(
      "config.transfer.protocols: found none, expected at least one, such as "
      "('linear:digits',)"
    )
  workdir = epath.Path(workdir)
  planned, identities = {}, {}
  for path, ticket in zip(paths, loaded, strict=True):
    seed, task, index = (ticket.meta[k] for k in ("seed", "task", "round"))
    file = (
      workdir / f"seed_{seed}/{task}/transfer/round_{index:02d}/ticket.json"
    )
    identity = {"sha256": ticket.meta["sha256"]}
    there = files.read_json(file) if files.exists(file) else identity
    if identity != identities.setdefault(file, there):
      raise ConfigError(
        f"--ticket={path}: found another ticket of seed {seed}, {task}, round "
        f"{index} than that judged in {workdir}, expected the same; give each "
        "a --workdir"
      )
    if config.transfer.random:
      for stage in transfers(config, seed, UNTRAINED, (0,)):
        planned[stage] = None
    for stage in transfers(config, seed, task, (index,)):
      if stage.protocol == "prune":
        raise ConfigError(
          "config.transfer.protocols: found 'prune', expected it in a study: "
          "its rounds are those of the study"
        )
      planned[stage] = ticket
  if config.variants:
    raise ConfigError(
      f"config.variants: found {tuple(config.variants)}, expected none: the "
      "networks are the tickets'"
    )
  judge = Transfers(config, tuple(loaded[0].meta["image_shape"]))
  progress = Progress()
  progress.start(sum(judge.num_images(stage) for stage in planned))
  provenance.record(config, workdir)
  for file, identity in identities.items():
    files.write_json(file, identity)
  try:
    for stage, ticket in planned.items():
      ticket = ticket or judge.random(stage.seed)
      stages.run_once(
        workdir,
        stage.path,
        judge.num_images(stage),
        lambda s=stage, t=ticket: judge.run(s, t, workdir, progress),
        progress,
      )
  finally:
    progress.close()
  return processes.from_first(lambda: _join_results(workdir))


def _join_results(workdir: epath.Path) -> list[dict[str, Any]]:
  """Writes the results of all tickets, those judged earlier among them."""
  done = sorted(workdir.glob("seed_*/*/transfer/round_*/*/result.json"))
  results = [line for path in done for line in files.read_json(path)]
  files.write_json_lines(workdir / "results.jsonl", results)
  return results


def _load(path: epath.Path) -> Ticket:
  is_folder = processes.from_first(path.is_dir)
  ticket = tickets.load(path / "trained.npz" if is_folder else path)
  for field in ("config", "image_shape", "seed", "task", "round"):
    if field not in ticket.meta:
      raise TicketError(f"{path}: found no {field} in its meta")
  return ticket


def _of_ticket(
  config: ConfigDict, made_by: dict[str, Any], path: epath.PathLike
) -> ConfigDict:
  """Returns a configuration with a ticket's network, and what it sees."""
  config = config.copy_and_resolve_references()
  for section in _OF_TICKET:
    try:
      config[section].update(_tuples(made_by[section]))
    except (KeyError, AttributeError, TypeError) as error:
      raise TicketError(
        f"{path}: made by another version: {section}: {error}"
      ) from None
  return config


def _tuples(value: Any) -> Any:
  """Returns JSON values as a configuration holds them, lists as tuples."""
  if isinstance(value, dict):
    return {key: _tuples(item) for key, item in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value
