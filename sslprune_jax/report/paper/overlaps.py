"""What masks share: intersection over union, and what chance gives."""

import collections
from collections.abc import Iterable, Sequence

from sslprune_jax.report.results import task_name
from sslprune_jax.report.tables import Table


def with_labels(lines: Iterable[dict]) -> dict[str, list[dict]]:
  """Returns the lines of overlaps.jsonl of the label mask and one other.

  Returns:
    variant -> its lines.
  """
  found = collections.defaultdict(list)
  for line in lines:
    others = [name for name, _ in (line["a"], line["b"]) if name != "labels"]
    if len(others) == 1:
      found[others[0]].append(line)
  return dict(found)


def over_union(layers: Sequence[dict], by_chance: bool) -> float:
  """Returns the intersection of two masks over their union.

  Args:
    layers: of a line of overlaps.jsonl.
    by_chance: of masks drawn at random that keep as many weights of each layer:
      of n weights a b / n are shared in expectation.

  Returns:
    In [0, 1]; 0 of empty masks. By chance it is the quotient of expectations.
  """
  both = sum(
    of["a"] * of["b"] / of["total"] if by_chance else of["both"]
    for of in layers
  )
  either = sum(of["a"] + of["b"] for of in layers) - both
  return both / either if either else 0.0


def density(layers: Sequence[dict]) -> float:
  """Returns the share of the weights that the first mask keeps."""
  return sum(of["a"] for of in layers) / sum(of["total"] for of in layers)


def by_layer(lines: Iterable[dict]) -> Table | None:
  """Tabulates the layers at the last round, means over seeds; None if none."""
  found = with_labels(lines)
  if not found:
    return None
  columns = {}
  for other, of in found.items():
    last = max(line["round"] for line in of)
    shares = collections.defaultdict(list)
    for line in of:
      if line["round"] == last:
        for layer in line["layers"]:
          pair = [over_union([layer], by_chance) for by_chance in (0, 1)]
          shares[layer["path"]].append(pair)
    columns[other] = {
      path: [
        100 * sum(values) / len(values) for values in zip(*of, strict=True)
      ]
      for path, of in shares.items()
    }
  rows = [
    [path.removeprefix("trunk/").removesuffix("/kernel")]
    + [f"{share:.0f} ({chance:.0f})" for share, chance in of]
    for path in next(iter(columns.values()))
    for of in [[column[path] for column in columns.values()]]
  ]
  return Table(["layer", *(task_name(other) for other in columns)], rows)
