"""Figures of the paper -> one page of pictures, numbers and verdicts."""

import collections
import dataclasses
import math
import pathlib
from collections.abc import Sequence

from sslprune_jax.report import figures, page, panels, tables, words
from sslprune_jax.report.inference import LEVEL, POWER
from sslprune_jax.report.names import Names
from sslprune_jax.report.panels import Histogram
from sslprune_jax.report.paper import FIGURES, compared, looks, overlaps
from sslprune_jax.report.paper.base import PaperFigure
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.results import Run
from sslprune_jax.report.verdicts import (
  FAILS,
  HOLDS,
  MARGIN,
  NO_DIFFERENCE,
  UNDECIDED,
  WITHHELD,
  Verdict,
)
from sslprune_jax.workdir import PRETEXT

_BESIDE = 5  # column of what stands beside accuracies
INTERVAL = f"{100 * LEVEL:.0f} % interval"
# Fields that say nothing of how a variant was trained.
_NAMES = ("name", "figure", "seeds", "retrain.inits", "transfer.random")


@dataclasses.dataclass(frozen=True)
class Part:
  """What the page says of one figure on one data set.

  Attributes:
    name: name of its files: "fig3_masks_digits".
    run: what it is drawn from.
    figure: figure of the paper; None where it has none of this name.
    verdicts: what the numbers say of its statements.
    judged_on: sentence on the seeds that they are of; "" where it is all.
    files: contents by their ending: "png", "pdf" and "csv".
  """

  name: str
  run: FigureRun
  figure: PaperFigure | None
  verdicts: list[Verdict]
  judged_on: str
  files: dict[str, bytes]


def draw_part(run: FigureRun) -> Part:
  """Draws a figure and judges its statements.

  Args:
    run: run of a figure; without pictures if the paper has none of its name.
  """
  name = words.file_name(run.name, run.config["dataset"]["name"])
  figure = FIGURES.get(run.name)
  if figure is None:
    return Part(name, run, None, [], "", {})
  drawn, _ = figure.draw(run)
  drawn = [p for p in drawn if isinstance(p, Histogram) or p.curves]
  files = {}
  if drawn:
    picture = figures.draw(drawn, run.names)
    files = {
      "png": figures.png(picture),
      "pdf": figures.pdf(picture),
      "csv": tables.to_csv(panels.rows(drawn)).encode(
        "utf-8", "backslashreplace"
      ),
    }
  return Part(name, run, figure, *looks.judge(figure, run), files)


def render(parts: Sequence[Part], kind: str, linked: bool) -> str:
  """Fills the template.

  Args:
    parts: parts of the page.
    kind: "html", with its pictures in it, or "md", which shows those beside it.
    linked: whether each variant has a page of its own below this one.

  Returns:
    The page.
  """
  return page.template(f"paper.{kind}.jinja").render(
    parts=[_view(part) for part in parts],
    linked=linked,
    interval=INTERVAL,
    power=f"{100 * POWER:g} %",
    left_out=[words for part in parts for words in part.run.left_out],
  )


def _view(part: Part) -> dict:
  """Returns what the template reads of a part."""
  run, figure = part.run, part.figure
  first = [runs[0] for runs in run.variants.values()]
  runs = [run for same in run.variants.values() for run in same]
  rows = [row for one in runs for row in one.rows]
  judged = [row for row in rows if row["stage"] != PRETEXT] or rows
  config = run.config
  tabulate = figure.table if figure else compared.tabulate
  return {
    "name": part.name,
    "title": figure.title if figure else run.name or run.paths[0].name,
    "figure": figure,
    "dataset": config["dataset"]["name"],
    "networks": sorted({row["model"] for row in rows}),
    "seeds": run.seeds,
    "n": sorted({len(run.seeds)}),
    "tested": sorted({row["n"] for row in judged}),
    "images": sorted({row["training_images"] for row in judged}),
    "tally": tally(part.verdicts),
    "verdicts": verdict_table(part.verdicts),
    "judged_on": part.judged_on,
    "png": part.files.get("png"),
    "varied": _tabulate_variants(first, run.names),
    "variants": {name: run.names.label(name) for name in run.variants},
    "overlap": overlaps.by_layer(run.overlaps, run.names),
    "table": tabulate(run) if tabulate else None,
    "tabulated": figure.tabulated if figure else compared.SHOWN,
    "commits": sorted({str(r.commit) for r in runs}),
    "machines": sorted({r.machine for r in runs if r.machine}),
    "versions": first[0].versions,
    "runs": [str(pathlib.Path(path).name) for path in run.paths],
  }


def tally(verdicts: Sequence[Verdict]) -> str:
  """Says how many claims hold: "7 hold, 1 does not hold, 2 undecided"."""
  counts = collections.Counter(v.verdict for v in verdicts)
  plural = {HOLDS: "hold", FAILS: "do not hold"}
  parts = []
  for verdict in (HOLDS, FAILS, NO_DIFFERENCE, UNDECIDED, WITHHELD):
    count = counts[verdict]
    if count:
      word = verdict if count == 1 else plural.get(verdict, verdict)
      parts.append(f"{count} {word}")
  return ", ".join(parts) or "nothing tested yet"


def verdict_table(verdicts: Sequence[Verdict]) -> tables.Table:
  """Tabulates claims: verdict, number, interval, deviation over seeds, test.

  The same number of log-likelihoods stands beside it, where it is known.

  Of the deviation, what test images give and what is left stand beside it; of
  what is undecided, the number of seeds that would decide the margin.
  """
  rows = []
  for v in verdicts:
    interval = ""
    if v.low is not None:
      low, high = (f"{100 * x:.1f}".replace("-", "−") for x in (v.low, v.high))
      interval = f"{low} to {high}"
    number = words.write_estimate(v.found) if v.found else ""
    n = str(v.found.n) if v.found else ""
    verdict = v.verdict
    if v.seeds:
      verdict += f": {v.seeds} seeds would decide {100 * MARGIN:g} points"
    rows.append(
      [v.claim, verdict, number, interval, n, _write_deviation(v), v.test]
    )
  header = ["claim", "verdict", "found (points, %)", INTERVAL, "n"]
  header += ["deviation (images, rest)", "test"]
  if any(v.likelihood for v in verdicts):
    header.insert(_BESIDE, "log-likelihood (nats)")
    for v, row in zip(verdicts, rows, strict=True):
      row.insert(_BESIDE, words.write_nats(v.likelihood))
  return tables.Table(header, rows)


def _write_deviation(verdict: Verdict) -> str:
  """Writes a deviation and its two parts: "1.0 (0.8, 0.6)"."""
  whole, images = verdict.deviation, verdict.images
  if whole is None:
    return ""
  if images is None:
    return f"{100 * whole:.1f}"
  rest = math.sqrt(max(0.0, whole**2 - images**2))
  return f"{100 * whole:.1f} ({100 * images:.1f}, {100 * rest:.1f})"


def _tabulate_variants(
  runs: Sequence[Run], names: Names
) -> tables.Table | None:
  """Tabulates what the variants differ in, fields as rows."""
  table = page.differing_fields(runs)
  if table is None:
    return None
  header = ["field", *(names.label(run.path.name) for run in runs)]
  rows = [row for row in table.rows if row[0] not in _NAMES]
  return tables.Table(header, rows) if rows else None
