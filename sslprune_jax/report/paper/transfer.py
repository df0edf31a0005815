"""Figures of transfer: 1 and 2 of the paper.

Each function draws the panels of a figure from its run, and judges its claims.
"""

from sslprune_jax.report import verdicts
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.panels import Drawn, Panel, remaining
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.results import task_name
from sslprune_jax.report.transfers import METRICS, Transfer
from sslprune_jax.report.verdicts import Verdict

# Remaining weights: F1 says that features survive down to a tenth, and drop
# under a twentieth.
_TENTH, _TWENTIETH = 0.1, 0.05


def frozen(run: FigureRun) -> Drawn:
  """Figure 1: frozen features on other data."""
  panels, found = [], []
  for transfer in run.transfers:
    panels.append(_transfer_panel(transfer))
    if transfer.layer != "features":
      continue  # The paper's are the final features.
    for curve in transfer.curves:
      if curve.task == "labels":
        continue
      found += _kept(curve, f"{task_name(curve.task)}, {transfer.title}")
  return panels, found


def _kept(curve: Curve, name: str) -> list[Verdict]:
  early = [p for p in curve.points if p.round and p.density > _TENTH]
  late = [p for p in curve.points if p.density < _TWENTIETH]
  found = []
  if early:
    text = f"{name}: nothing is lost down to {remaining(early[-1:])} remaining"
    change = verdicts.change(curve, early[-1].round)
    found.append(verdicts.no_less(text, change))
  if late:
    text = f"{name}: it has dropped at {remaining(late[-1:])} remaining"
    drop = verdicts.change(curve, 0, since=late[-1].round)
    found.append(verdicts.greater(text, drop))
  return found


def when_to_prune(run: FigureRun) -> Drawn:
  """Figure 2: pruned in pre-training or in transfer, then fine-tuned."""
  panels, found = [], []
  for transfer in run.transfers:
    panels.append(_transfer_panel(transfer))
    by_key = {(curve.task, curve.init): curve for curve in transfer.curves}
    for task in dict.fromkeys(curve.task for curve in transfer.curves):
      pair = [by_key.get((task, init)) for init in ("finetune", "prune")]
      if all(pair):
        text = f"{task_name(task)}, {transfer.title}: better pruned before"
        found.append(verdicts.greater(text, verdicts.difference(*pair)))
  return panels, found


def _transfer_panel(transfer: Transfer) -> Panel:
  return Panel(
    transfer.title,
    f"{METRICS[transfer.metric]} (%)",
    transfer.curves,
    untrained=transfer.random,
  )
