"""Runs -> the sections of their page: curves, and pictures of them."""

import dataclasses
from collections.abc import Sequence

from sslprune_jax.report import curves as curves_lib
from sslprune_jax.report import (
  figures,
  layers,
  panels,
  results,
  sizes,
  time_pictures,
  times,
  transfers,
  words,
)
from sslprune_jax.report.curves import Curve
from sslprune_jax.report.names import Names
from sslprune_jax.report.results import Run
from sslprune_jax.report.settings import Setting, join
from sslprune_jax.report.sizes import Size
from sslprune_jax.workdir import PRETEXT, RETRAIN, TRANSFER, UNTRAINED


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


@dataclasses.dataclass(frozen=True)
class BroughtSection:
  """What the page says of one network that was brought.

  Attributes:
    run: the run that started from it.
    task: what it was pruned by.
    sizes: what was made of it, dense first.
    name: name of the picture.
    picture: a PNG of quality against weights, a panel a measure; None where
      nothing was judged.
  """

  run: Run
  task: str
  sizes: list[Size]
  name: str
  picture: bytes | None


@dataclasses.dataclass(frozen=True)
class TimeSection:
  """What the page says of the times of a run's networks.

  Attributes:
    run: the run.
    times: what was measured.
    name: name of the picture.
    picture: a PNG of quality against time; None where nothing was judged.
  """

  run: Run
  times: times.Times
  name: str
  picture: bytes | None


def draw_brought(runs: Sequence[Run], names: Names) -> list[BroughtSection]:
  """Draws size against quality of networks that were brought.

  Args:
    runs: runs of the page.
    names: labels and colours of their tasks.

  Returns:
    One section a run that started from a file, and task.
  """
  found = [
    (run, task, made)
    for run in runs
    for task, made in sizes.collect(run).items()
  ]
  parts = []
  for index, (run, task, made) in enumerate(found, 1):
    rows = [
      row for row in sizes.judgements(run) if row["task"] in (task, UNTRAINED)
    ]
    own = names
    if results.field(run, "prune.method") == "one-shot":
      own = names.relabel(task, "one shot")  # The task trained nothing.
    drawn = [
      panels.transfer_panel(transfer.title, transfer)
      for transfer in transfers.group(rows)
      if transfer.curves  # Not where the untrained network alone is judged.
    ]
    picture = figures.png(figures.draw(drawn, own)) if drawn else None
    name = f"sizes_{index}" if len(found) > 1 else "sizes"
    parts.append(BroughtSection(run, task, made, name, picture))
  return parts


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


def draw_times(runs: Sequence[Run], names: Names) -> list[TimeSection]:
  """Draws how long the networks of runs take, as far as that was measured.

  Args:
    runs: runs of the page.
    names: labels and colours of their tasks.

  Returns:
    One section a run.
  """
  parts = []
  for index, run in enumerate(runs, 1):
    found = times.collect(run)
    if found.timings or found.left_out:
      figure = time_pictures.draw(found, names)
      name = f"times_{index}" if len(runs) > 1 else "times"
      picture = figures.png(figure) if figure else None
      parts.append(TimeSection(run, found, name, picture))
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
  joined = join(runs)
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
