"""What the masks of different tasks and variants share, as lines of JSON."""

import itertools
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import rounds
from sslprune_jax.pruning import sparsity, tickets
from sslprune_jax.runtime import digests, files, processes
from sslprune_jax.runtime.errors import LostFileError
from sslprune_jax.workdir import Stage

Pair = tuple[int, int, tuple[str, str], tuple[str, str]]  # seed, round, a, b


def write(workdir: epath.Path, configs: dict[str, ConfigDict]) -> None:
  """Writes overlaps.jsonl, unless all of it is there.

  A line for each seed, retrained round, and pair of a variant and task whose
  networks are the same: `seed, round, a, b` (variant and task of each), the
  `layers` of `sparsity.overlap`, and the `sha256` of these.

  Args:
    workdir: folder of finished studies.
    configs: configurations of the studies, by their folders in it.
  """
  processes.from_first(lambda: _write(workdir, configs))


def of_seed(
  workdir: epath.Path, configs: dict[str, ConfigDict], seed: int
) -> list[dict[str, Any]]:
  """Returns the lines of a finished seed, whether or not all seeds are done.

  Args:
    workdir: folder of studies.
    configs: configurations of the studies, by their folders in it.
    seed: the seed.
  """
  pairs = [p for p in _pairs_there(workdir, configs) if p[0] == seed]
  path = workdir / workdir_lib.OVERLAPS
  lines = files.read_json_lines(path) if path.exists() else []
  found = [line for line in lines if line["seed"] == seed]
  if len(found) == len(pairs):
    return found
  return _lines(workdir, pairs)  # As overlaps.jsonl is written at the end.


def verify(workdir: epath.Path) -> list[str]:
  """Computes again what overlaps.jsonl says, if there is one.

  Args:
    workdir: folder of finished studies, whose tickets are whole.

  Returns:
    Sentences on what is damaged.
  """
  path = workdir / workdir_lib.OVERLAPS
  if not path.exists():
    return []
  pairs = _there(path)
  try:
    if pairs is not None and files.read_json_lines(path) == _lines(
      workdir, pairs
    ):
      return []
  except LostFileError:  # Said where the tickets are looked at.
    return []
  return [f"{path}: damaged: not what its tickets' masks share"]


def _write(workdir: epath.Path, configs: dict[str, ConfigDict]) -> None:
  path = workdir / workdir_lib.OVERLAPS
  pairs = _pairs_there(workdir, configs)
  if pairs and not (path.exists() and _there(path) == pairs):
    files.write_json_lines(path, _lines(workdir, pairs))


def _pairs_there(
  workdir: epath.Path, configs: dict[str, ConfigDict]
) -> list[Pair]:
  """Lists the pairs whose tickets are both there.

  Of a study that has grown, some may never have been asked for together.
  """
  return [
    (seed, index, a, b)
    for seed, index, a, b in _pairs(configs)
    if _ticket(workdir, seed, index, a).exists()
    and _ticket(workdir, seed, index, b).exists()
  ]


def _lines(workdir: epath.Path, pairs: list[Pair]) -> list[dict[str, Any]]:
  """Returns the lines of some pairs, those of a seed and round together."""
  lines = []
  for (seed, index), group in itertools.groupby(pairs, key=lambda p: p[:2]):
    masks = {}
    for *_, a, b in group:
      for owner in {a, b} - masks.keys():
        ticket = tickets.load(_ticket(workdir, seed, index, owner))
        masks[owner] = ticket.masks
      line = {
        "seed": seed,
        "round": index,
        "a": list(a),
        "b": list(b),
        "layers": sparsity.overlap(masks[a], masks[b]),
      }
      lines.append(digests.stamp(line))
  return lines


def _ticket(
  workdir: epath.Path, seed: int, index: int, owner: tuple[str, str]
) -> epath.Path:
  variant, task = owner
  return workdir / variant / Stage(seed, task, index).path / workdir_lib.TICKET


def _there(path: epath.Path) -> list[Pair] | None:
  """Lists the pairs of a file of overlaps, as `_pairs` does.

  Returns:
    None where a line is damaged, or has no digest, as those of old.
  """
  try:
    lines = files.read_json_lines(path)
    if any(line != digests.stamp(line) for line in lines):
      return None
    return [
      (line["seed"], line["round"], tuple(line["a"]), tuple(line["b"]))
      for line in lines
    ]
  except (LostFileError, KeyError, TypeError):
    return None


def _pairs(configs: dict[str, ConfigDict]):
  """Yields (seed, round, a, b), those of a seed and round together."""
  owners = [(name, task) for name, c in configs.items() for task in c.tasks]
  every = [
    (seed, index, a, b)
    for a, b in itertools.combinations(owners, 2)
    if _network(configs[a[0]]) == _network(configs[b[0]])
    for seed in configs[a[0]].seeds
    for index in configs[a[0]].retrain.rounds
    if index > 0
    and seed in configs[b[0]].seeds
    and index <= rounds.last(configs[b[0]].prune)
  ]
  return sorted(every, key=lambda pair: pair[:2])


def _network(config: ConfigDict):
  model, dataset = config.model, config.dataset
  shape = dataset.image_size, dataset.channels
  own = model.name, model.width, model.sobel, config.prune.structure
  return *own, *models.variants(model).values(), *shape
