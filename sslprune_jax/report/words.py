"""Numbers -> words: estimates, shares of weights and ranges."""

import re
from collections.abc import Iterable, Sequence

from sslprune_jax.report.curves import Estimate, Point


def file_name(*parts: str) -> str:
  """Joins parts to the name of a file that stays in its folder."""
  return re.sub(r"[/\\\x00-\x1f\x7f]", "-", "_".join(filter(None, parts)))


def write_estimate(estimate: Estimate | None, sign: str = "") -> str:
  """Writes an accuracy or a difference in percent: "91.2 ± 0.3"."""
  if estimate is None:
    return ""
  mean = f"{100 * estimate.mean:{sign}z.1f}".replace("-", "−")
  if estimate.error is None:
    return mean
  return f"{mean} ± {100 * estimate.error:.1f}"


def write_nats(estimate: Estimate | None) -> str:
  """Writes a difference of log-likelihoods: "0.012 ± 0.003"."""
  if estimate is None:
    return ""
  mean = f"{estimate.mean:z.3f}".replace("-", "−")
  return mean if estimate.error is None else f"{mean} ± {estimate.error:.3f}"


def write_percent(fraction: float) -> str:
  """Writes a share of weights in percent: 100, 51, 8.6, 0.12."""
  return f"{float(f'{100 * fraction:.2g}'):g}"


def write_duration(duration: str) -> str:
  """Writes a duration with two decimals at most: "4.71ep" if it was stretched.

  Args:
    duration: as a configuration has it, a number with its unit.
  """
  return re.sub(
    r"\d+\.\d+", lambda number: f"{round(float(number[0]), 2):g}", duration
  )


def write_range(values: Iterable[int]) -> str:
  """Writes whole numbers as one, or as "first to last"."""
  values = sorted(set(values))
  ends = [f"{value:,}" for value in values]
  return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"


def write_remaining(points: Sequence[Point]) -> str:
  """Writes what remains at the first of some points; "?" without one."""
  return f"{write_percent(points[0].density)} %" if points else "?"
