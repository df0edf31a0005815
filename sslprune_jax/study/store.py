"""A store of results that grows: the lines of finished seeds, to be committed.

  python -m sslprune_jax.study.store runs/paper/digits_half --to=docs/paper/runs

A seed of a figure is a folder, SET/FIGURE/seed_N, that reports read as they
read a workdir: config.json of the figure and of each variant, their lines of
results, and what is drawn besides, overlaps with label masks and magnitudes of
dense networks. Networks stay where they are.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import digests, endings, files
from sslprune_jax.runtime.errors import UserError
from sslprune_jax.study import identity, overlaps, plan, provenance, results

# Of config.json: the commit says the same in a line.
_LONG = ("code",)


class StoreError(UserError, ValueError):
  """Results that cannot be kept, in one line."""


def keep(workdir: epath.Path, store: epath.Path) -> list[epath.Path]:
  """Copies what is finished, and not there yet, of figures into a store.

  Args:
    workdir: workdir of a figure, or of several.
    store: folder of all that is kept.

  Returns:
    The folders of its finished seeds, those that were there among them.

  Raises:
    StoreError: the workdir is of no figure, or a seed is there with other
      lines.
    LostFileError: a result is damaged.
  """
  several = sorted(workdir.glob(f"*/{workdir_lib.CONFIG}"))
  if not (workdir / workdir_lib.CONFIG).exists() and several:
    return [path for file in several for path in keep(file.parent, store)]
  about = provenance.read(workdir / workdir_lib.CONFIG)
  config = about["config"]
  if not config.get("variants"):
    raise StoreError(f"{workdir}: found a plain study, expected a figure's")
  studies = {
    name: provenance.read(workdir / name / workdir_lib.CONFIG)
    for name in config["variants"]
  }
  place = store / config["dataset"]["name"] / config["figure"]
  kept = []
  for seed in config["seeds"]:
    found = _read(workdir, studies, seed)
    if found is not None:
      kept.append(place / f"seed_{seed}")
      _write(kept[-1], {"": about, **studies}, seed, found)
  return kept


def _read(
  workdir: epath.Path, studies: dict[str, dict[str, Any]], seed: int
) -> dict[str, bytes] | None:
  """Returns a seed's files but for config.json; None: it is not finished."""
  found, configs = {}, {}
  for name, about in studies.items():
    configs[name] = config = ConfigDict(identity.complete(about["config"]))
    stages = [s for s in plan.plan(config) if s.seed == seed]
    folders = [workdir / name / stage.path for stage in stages]
    if not stages or not all(map(results.exists, folders)):
      return None
    lines = [line for folder in folders for line in results.read(folder)]
    found[f"{name}/{workdir_lib.RESULTS}"] = _to_json_lines(lines)
    for folder in folders:
      file = folder / workdir_lib.MAGNITUDES
      if folder.name == "round_00" and file.exists():
        found[str(file.relative_to(workdir))] = file.read_bytes()
  lines = [
    line
    for line in overlaps.of_seed(workdir, configs, seed)
    if "labels" in (line["a"][0], line["b"][0])  # Others are not drawn.
  ]
  if lines:
    found[workdir_lib.OVERLAPS] = _to_json_lines(lines)
  return found


def _write(
  folder: epath.Path,
  studies: dict[str, dict[str, Any]],
  seed: int,
  found: dict[str, bytes],
) -> None:
  """Writes a seed, the figure's config.json last, or sees that it is there."""
  if (folder / workdir_lib.CONFIG).exists():
    for name, content in found.items():
      file = folder / name
      if not file.exists() or file.read_bytes() != content:
        raise StoreError(
          f"{file}: found other lines than those of this run, expected the "
          "same of a seed that is there; remove the folder to replace it"
        )
    return
  for name, content in found.items():
    files.write(folder / name, content)
  for name, about in reversed(studies.items()):
    rest = {key: about[key] for key in about if key not in _LONG}
    rest["config"] = {**about["config"], "seeds": [seed]}
    files.write_json(folder / name / workdir_lib.CONFIG, digests.stamp(rest))


def _to_json_lines(lines: Iterable[dict[str, Any]]) -> bytes:
  return "".join(json.dumps(line) + "\n" for line in lines).encode()


def main(argv: Sequence[str] | None = None) -> int:
  """Keeps the finished seeds of figures, and says which.

  Args:
    argv: arguments; those of the process by default.

  Returns:
    The exit status, 0.

  Raises:
    SystemExit: 2, a flag that there is none of; or 1, in one line.
  """
  parser = endings.ArgumentParser(
    prog="python -m sslprune_jax.study.store",
    description="Copies the result lines of finished seeds of the paper's "
    "figures, with their config.json, to where they are committed.",
  )
  parser.add_argument(
    "runs", nargs="+", metavar="RUN", help="workdir of figures"
  )
  parser.add_argument(
    "--to", required=True, metavar="FOLDER", help="the store: docs/paper/runs"
  )
  flags = parser.parse_args(argv)
  try:
    for run in flags.runs:
      for folder in keep(epath.Path(run), epath.Path(flags.to)):
        print(folder, flush=True)
  except (UserError, OSError) as error:
    endings.refuse(error)
  return 0


if __name__ == "__main__":
  sys.exit(main())
