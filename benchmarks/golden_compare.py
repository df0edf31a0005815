"""What differs between the workdirs of two runs of one command."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

_TIMES = {"seconds"}  # fields of metrics in which no two runs are alike
# The fields that say which line of results it is.
_NAMES = (
  "seed", "task", "stage", "round", "init", "protocol", "target", "fraction",
  "layer", "metric",
)  # fmt: skip


@dataclasses.dataclass
class Found:
  """What a comparison found.

  Attributes:
    differences: what is not the same.
    notes: what one side alone writes, which is no difference.
    lines: of results that both sides have.
    tickets: that both sides have.
    arrays: of these tickets.
  """

  differences: list[str] = dataclasses.field(default_factory=list)
  notes: set[str] = dataclasses.field(default_factory=set)
  lines: int = 0
  tickets: int = 0
  arrays: int = 0


def compare(before: pathlib.Path, now: pathlib.Path) -> Found:
  """Compares results, metrics and tickets bit for bit.

  Args:
    before: the workdir of the earlier code.
    now: that of the later code, which may write more fields and metrics.

  Returns:
    What differs.
  """
  found = Found()
  for path in _files(before, now, "results.jsonl", found):
    pairs = _pair(path, _lines(before / path), _lines(now / path), found)
    found.lines += len(pairs)
    _compare_lines(path, pairs, found)
  for path in _files(before, now, "metrics.jsonl", found):
    _compare_metrics(path, _lines(before / path), _lines(now / path), found)
  for path in _files(before, now, "*.npz", found):
    found.tickets += 1
    _compare_tickets(path, before / path, now / path, found)
  return found


def _pair(
  path: str,
  old: list[dict[str, Any]],
  new: list[dict[str, Any]],
  found: Found,
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
  """Pairs lines that have a name; a new metric of a stage is a note."""
  there = {_name(line) for line in old}
  of_stages = {_name({**line, "metric": None}) for line in old}
  kept = []
  for line in new:
    name, of_stage = _name(line), _name({**line, "metric": None})
    if name in there or of_stage not in of_stages:
      kept.append(line)
    else:
      found.notes.add(f"results.jsonl: metric {line['metric']}: there now only")
  if len(old) != len(kept):
    found.differences.append(
      f"{path}: {len(old)} lines before, {len(kept)} now"
    )
  return [
    (f"line {number} ({_name(line)})", line, other)
    for number, (line, other) in enumerate(zip(old, kept, strict=False), 1)
  ]


def _files(before, now, pattern, found):
  """Lists the files that both sides have; others are differences."""
  old, new = (
    {str(path.relative_to(side)) for path in side.rglob(pattern)}
    for side in (before, now)
  )
  found.differences += _alone(old, new, "")
  return sorted(old & new)


def _alone(old: set[str], new: set[str], where: str) -> list[str]:
  """Says which names one side alone has."""
  return [
    f"{where}{name}: there {'before' if name in old else 'now'} only"
    for name in sorted(old ^ new)
  ]


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
  return [json.loads(line) for line in path.read_text().splitlines()]


def _name(line: dict[str, Any]) -> str:
  parts = ((name, line.get(name)) for name in _NAMES)
  return ", ".join(f"{k} {v}" for k, v in parts if v is not None)


def _compare_lines(
  path: str,
  pairs: Iterable[tuple[str, dict[str, Any], dict[str, Any]]],
  found: Found,
) -> None:
  """Compares lines, which have a name, in the fields that both sides write."""
  file = pathlib.Path(path).name
  for name, old, new in pairs:
    found.notes.update(_alone(old.keys(), new.keys(), f"{file}: field "))
    for field in sorted(old.keys() & new.keys() - _TIMES):
      # As text, in which NaN is NaN.
      values = [json.dumps(x[field], sort_keys=True) for x in (old, new)]
      if values[0] != values[1]:
        found.differences.append(
          f"{path}, {name}: {field}: {values[0]} before, {values[1]} now"
        )


def _compare_metrics(path, old, new, found):
  """Compares lines of the same update and event; further ones are a note."""
  old, new = (
    {
      f"{line.get('event', 'mean')} of update {line['update']}": line
      for line in side
    }
    for side in (old, new)
  )
  found.differences += _alone(old.keys(), old.keys() & new.keys(), f"{path}, ")
  if new.keys() - old.keys():
    found.notes.add("metrics.jsonl: more lines now")
  both = [(name, old[name], new[name]) for name in old if name in new]
  _compare_lines(path, both, found)


def _compare_tickets(path, before, now, found):
  """Compares arrays by name; `meta`, what they were made by, may differ."""
  with np.load(before) as old, np.load(now) as new:
    names = [set(side.files) - {"meta"} for side in (old, new)]
    found.differences += _alone(*names, f"{path}: ")
    for name in sorted(names[0] & names[1]):
      found.arrays += 1
      difference = _difference(old[name], new[name])
      if difference:
        found.differences.append(f"{path}: {name}: {difference}")


def _difference(old: np.ndarray, new: np.ndarray) -> str | None:
  """Says in what two arrays differ; None where all their bits are the same."""
  kinds = [f"{array.dtype}{[*array.shape]}" for array in (old, new)]
  if kinds[0] != kinds[1]:
    return f"{kinds[0]} before, {kinds[1]} now"
  if old.tobytes() == new.tobytes():
    return None
  if old.dtype == np.uint8:  # of a mask
    flipped = np.unpackbits(old ^ new).sum()
    return f"{flipped} bits of {8 * old.size} differ"
  bits = [
    np.frombuffer(array.tobytes(), f"V{array.itemsize}") for array in (old, new)
  ]
  count = np.count_nonzero(bits[0] != bits[1])
  most = np.abs(old.astype(np.float64) - new.astype(np.float64)).max()
  return f"{count} of {old.size} values differ, by at most {most:.3g}"
