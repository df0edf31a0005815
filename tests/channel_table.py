"""The channels of our networks, written by hand: who writes them, who reads."""

import re

import numpy as np

# Writers (their batch norm too), and readers, names of layers.
Rows = list[tuple[list[str], list[str]]]


def members(variables):
  """Returns the groups of a network of ours, to compare.

  Args:
    variables: leaves of its variables, or their shapes, by name.

  Returns:
    A set of groups: (name, axis, shape of the indices, their bytes) a member.
  """
  found = set()
  for writers, readers in _rows(variables):
    size = variables[_kernel(writers[0], variables)].shape[-1]
    group = []
    for name, leaf in variables.items():
      if any(name.split("/", 1)[1].startswith(f"{w}/") for w in writers):
        group.append((name, leaf.ndim - 1, np.arange(size)[:, None]))
    for name in (_kernel(reader, variables) for reader in readers):
      leaf = variables[name]
      # Flattened images have their channels last.
      rows = np.arange(leaf.shape[-2]).reshape(-1, size).T
      group.append((name, leaf.ndim - 2, rows))
    found.add(comparable(group))
  return found


def comparable(group):
  """Returns a group of (name, axis, i[size, k]) that a set can hold."""
  return frozenset((n, axis, i.shape, i.tobytes()) for n, axis, i in group)


def _kernel(layer, variables):
  names = (f"params/{layer}/{part}kernel" for part in ("", "conv/", "dense/"))
  return next(name for name in names if name in variables)


def _rows(variables) -> Rows:
  blocks = sorted(
    {m[0] for n in variables if (m := re.search(r"trunk/.*block\d+/", n))},
    key=lambda name: [int(n) for n in re.findall(r"\d+", name)],
  )
  if not blocks:  # One after the other: stages, their layers, dense layers.
    layers = {n.split("/")[2] for n in variables if "/trunk/" in n}
    order = sorted(
      layers, key=lambda n: ([n[0] == "f"], [*map(int, re.findall(r"\d+", n))])
    )
    chain = [f"trunk/{layer}" for layer in order] + ["head"]
    return [([a], [b]) for a, b in zip(chain, chain[1:], strict=False)]

  rows, writers, readers = [], ["trunk/stem"], []
  for block in blocks:
    has = [
      layer
      for layer in ("conv1", "conv2", "conv3", "shortcut")
      if f"params/{block}{layer}/conv/kernel" in variables
    ]
    convs = [block + layer for layer in has if layer != "shortcut"]
    readers.append(convs[0])
    if "shortcut" in has:  # Another stream begins.
      rows.append((writers, [*readers, block + "shortcut"]))
      writers, readers = [block + "shortcut"], []
    writers.append(convs[-1])
    rows += [([a], [b]) for a, b in zip(convs, convs[1:], strict=False)]
  return [*rows, (writers, [*readers, "head"])]
