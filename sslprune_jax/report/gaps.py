"""Differences of accuracies within a seed, averaged over rounds."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from sslprune_jax.report import inference
from sslprune_jax.report.curves import Curve, Point

BySeed = Mapping[int, float]


class Gaps(dict[int, float]):
  """Seed -> difference of accuracies.

  Attributes:
    images: variance that the test images alone would give it, were every
      network wrong on images of its own; None where they are not known.
  """

  images: float | None = None


def difference(a: Curve, b: Curve, rounds: Sequence[int] | None = None) -> Gaps:
  """Returns a - b of each seed that both have, averaged over rounds.

  Args:
    a: curve with a value a seed at each point.
    b: curve that it is held against.
    rounds: rounds to average over, by default all that both have but the
      dense one.
  """
  shared = [p.round for p in a.points if b.at(p.round)]
  shared = [i for i in shared if (i > 0 if rounds is None else i in rounds)]
  return _average([(a.at(index), b.at(index)) for index in shared])


def shared_rounds(curves: Iterable[Curve]) -> list[int]:
  """Returns the rounds that all curves have but the dense one."""
  every = [{p.round for p in curve.points if p.round} for curve in curves]
  return sorted(set.intersection(*every)) if every else []


def change(curve: Curve, index: int, since: int = 0) -> Gaps:
  """Returns by how much each seed changes from one round to another."""
  late, early = curve.at(index), curve.at(since)
  return _average([(late, early)] if late and early else [])


def minus(a: BySeed, b: BySeed) -> Gaps:
  """Returns a - b of each seed that both have."""
  found = Gaps(
    {seed: a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())}
  )
  parts = [getattr(values, "images", None) for values in (a, b)]
  found.images = None if None in parts else sum(parts)
  return found


def _average(pairs: Sequence[tuple[Point, Point]]) -> Gaps:
  """Returns the mean distance of each seed that has all of the pairs."""
  if not pairs:
    return Gaps()
  # A seed that lacks a round would weigh the others in its own way.
  seeds = set.intersection(
    *(a.values.keys() & b.values.keys() for a, b in pairs)
  )
  found = Gaps(
    {
      seed: statistics.fmean(a.values[seed] - b.values[seed] for a, b in pairs)
      for seed in sorted(seeds)
    }
  )
  points = [point for pair in pairs for point in pair]
  if all(point.tested for point in points):
    found.images = (
      math.fsum(
        inference.binomial_variance(list(point.values.values()), point.tested)
        for point in points
      )
      / len(pairs) ** 2
    )
  return found
