"""What masks share: intersection over union, and what chance gives."""

import collections
import math
import statistics
from collections.abc import Iterable, Sequence

from sslprune_jax.report.names import Names
from sslprune_jax.report.tables import Table


def with_labels(lines: Iterable[dict]) -> dict[str, list[dict]]:
  """Returns the lines of the label mask and one other.

  Args:
    lines: lines of overlaps.jsonl.

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
    layers: counts of each layer, of a line of overlaps.jsonl.
    by_chance: whether of masks drawn at random that keep as many weights of
      each layer: of n weights a b / n are shared in expectation.

  Returns:
    In [0, 1]; 0 of empty masks. By chance it is the quotient of expectations.
  """
  both = math.fsum(
    layer["a"] * layer["b"] / layer["total"] if by_chance else layer["both"]
    for layer in layers
  )
  either = sum(layer["a"] + layer["b"] for layer in layers) - both
  return both / either if either else 0.0


def density(layers: Sequence[dict]) -> float:
  """Returns the share of the weights that the first mask keeps.

  Args:
    layers: counts of each layer, of a line of overlaps.jsonl.
  """
  kept = sum(layer["a"] for layer in layers)
  return kept / sum(layer["total"] for layer in layers)


def by_layer(lines: Iterable[dict], names: Names) -> Table | None:
  """Tabulates the layers at the last round, means over seeds.

  Args:
    lines: lines of overlaps.jsonl.
    names: labels of the variants.

  Returns:
    A row a layer, a column a variant; None without lines.
  """
  found = with_labels(lines)
  if not found:
    return None
  columns = {}
  for other, own in found.items():
    last = max(line["round"] for line in own)
    shares = collections.defaultdict(list)
    for line in own:
      if line["round"] == last:
        for layer in line["layers"]:
          pair = [over_union([layer], by_chance) for by_chance in (False, True)]
          shares[layer["path"]].append(pair)
    columns[other] = {
      path: [100 * statistics.fmean(c) for c in zip(*pairs, strict=True)]
      for path, pairs in shares.items()
    }
  rows = []
  for path in next(iter(columns.values())):
    cells = [column[path] for column in columns.values()]
    rows.append(
      [path.removeprefix("trunk/").removesuffix("/kernel")]
      + [f"{share:.0f} ({chance:.0f})" for share, chance in cells]
    )
  return Table(["layer", *(names.label(other) for other in columns)], rows)
