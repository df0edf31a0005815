"""Whether dense networks learnt enough for what is said of pruned ones.

Masks of a network that guesses say nothing of a task, nor does the loss of
features that were never better than an untrained network's. Such claims are
not judged; the reason stands in their place.
"""

import statistics

from sslprune_jax.report import gaps, verdicts, words
from sslprune_jax.report.curves import Curve, estimate
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.transfers import TransferCurves
from sslprune_jax.workdir import PRETEXT, UNTRAINED

# A dense network is well above chance where it is right on this share of what
# guessing gets wrong (ours).
_ABOVE_CHANCE = 0.25


def against_tasks(run: FigureRun, *variants: str) -> str:
  """Says why masks of some variants say nothing, if that is so.

  Args:
    run: run of a figure.
    variants: names of variants whose masks are compared.

  Returns:
    A sentence on each whose dense network is not well above chance on its own
    task; "" where all are, or where nothing is known of them.
  """
  reasons = []
  for variant in variants:
    rows = [
      row
      for row in run.rows(variant, PRETEXT)
      if row["round"] == 0 and "chance" in row
    ]
    if not rows:
      continue
    chance = rows[0]["chance"]
    floor = chance + _ABOVE_CHANCE * (1 - chance)
    found = statistics.fmean(row["value"] for row in rows)
    if found < floor:
      reasons.append(
        f"dense {run.names.label(variant)} is right on {found:.1%} of its own "
        f"task, chance is {chance:.1%}: expected at least {floor:.1%}"
      )
  return "; ".join(reasons)


def against_features(transfer: TransferCurves, curve: Curve) -> str:
  """Says why a curve of transfers says nothing, if that is so.

  Args:
    transfer: one protocol on one target.
    curve: one of its curves.

  Returns:
    A sentence where the dense network is not shown to be better than an
    untrained one, over seeds; "" where it is, or where either is not known.
  """
  seeds: dict[int, list[float]] = {}
  for row in transfer.rows:
    if row["task"] == UNTRAINED:
      seeds.setdefault(row["seed"], []).append(row["value"])
  dense = curve.at(0)
  if not seeds or not dense:
    return ""
  untrained = {seed: statistics.fmean(found) for seed, found in seeds.items()}
  gain = gaps.minus(dense.values, untrained)
  low = verdicts.greater("", gain).low
  if low is not None and low > 0:  # By however little.
    return ""
  found = words.write_estimate(estimate(gain.values())) if gain else "no seed"
  return (
    "the dense network is not shown to be above an untrained one: "
    f"{found} points"
  )
