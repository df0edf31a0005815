"""Runs -> the sections of their page: curves, and pictures of them."""

import dataclasses
from collections.abc import Sequence

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import figures, layers, panels, transfers, words
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.names import Names
from sslprune_jax.report.results import Run, Setting, settings
from sslprune_jax.workdir import PRETEXT, RETRAIN, TRANSFER


@dataclasses.dataclass(frozen=True)
class Section:
  """What the page says of one setting; `pictures` is name -> PNG."""

  setting: Setting
  retrained: list[Curve]
  pretext: list[Curve]
  pictures: dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class TransferSection:
  """What the page says of one transfer; `picture` is a PNG, or nothing yet."""

  transfer: transfers.TransferCurves
  name: str
  picture: bytes | None


def draw_transfers(runs: Sequence[Run], names: Names) -> list[TransferSection]:
  """Draws the transfers of all runs.

  Args:
    runs: runs of the page.
    names: labels and colours of their tasks.

  Returns:
    One section a transfer; picture names are unique over all of them.
  """
  rows = [row for run in runs for row in run.rows if row["stage"] == TRANSFER]
  found = transfers.group(rows)
  several = len({(t.model, t.learnt, t.split) for t in found}) > 1
  parts = []
  for transfer in found:
    name = transfer.name
    if several:
      own = (name, transfer.learnt, transfer.split, transfer.model)
      name = words.file_name(*own)
    picture = None
    if transfer.curves:
      panel = panels.transfer_panel("", transfer)
      picture = figures.png(figures.draw([panel], names))
    parts.append(TransferSection(transfer, name, picture))
  return parts


def draw_settings(runs: Sequence[Run], names: Names) -> list[Section]:
  """Groups and draws, and leaves out the figures that have no results yet.

  Args:
    runs: runs of the page, at least one.
    names: labels and colours of their tasks.

  Returns:
    One section a setting; picture names are unique over all of them.
  """
  parts = []
  joined = settings(runs)
  for setting in joined:
    retrained = curves_lib.group(setting.rows, RETRAIN)
    pretext = curves_lib.group(setting.rows, PRETEXT)
    densities = curves_lib.layer_densities(setting.sparsity)
    dense = curves_lib.find_dense(retrained)
    drawn = {
      name: figures.draw([panel], names)
      for name, panel in {
        "retrained": panels.retraining_panel("", retrained, dense),
        "pretext": panels.pretext_panel("", pretext),
      }.items()
      if panel.curves
    }
    if densities:
      drawn["layers"] = layers.draw(densities, names)
    own = [setting.dataset, setting.split, setting.model]
    own = own if len(joined) > 1 else []
    pictures = {
      words.file_name(name, *own): figures.png(f) for name, f in drawn.items()
    }
    parts.append(Section(setting, retrained, pretext, pictures))
  return parts
