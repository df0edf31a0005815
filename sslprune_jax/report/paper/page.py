"""Figures of the paper -> one page of pictures, numbers and verdicts."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

from sslprune_jax.report import figures, page, panels, paper, tables
from sslprune_jax.report.curves import estimate
from sslprune_jax.report.paper import overlaps
from sslprune_jax.report.paper.runs import FigureRun
from sslprune_jax.report.results import task_name
from sslprune_jax.report.verdicts import FAILS, HOLDS, UNDECIDED, Verdict

# Fields that say nothing of how a variant was trained.
_NAMES = ("name", "figure", "seeds", "retrain.inits", "transfer.random")


@dataclasses.dataclass(frozen=True)
class Part:
  """What the page says of one figure on one data set.

  Attributes:
    name: of its files: "fig3_masks_digits".
    run: what it is drawn from.
    figure: None where the paper has none of this name.
    verdicts: of its statements.
    files: by their ending: "png", "pdf" and "csv".
  """

  name: str
  run: FigureRun
  figure: paper.PaperFigure | None
  verdicts: list[Verdict]
  files: dict[str, bytes]


def part(run: FigureRun) -> Part:
  """Draws a figure and judges its statements; nothing where none is known."""
  name = "_".join(filter(None, (run.name, run.config["dataset"]["name"])))
  figure = paper.FIGURES.get(run.name)
  if figure is None:
    return Part(name, run, None, [], {})
  drawn, verdicts = figure.draw(run)
  files = {}
  if drawn:
    picture = panels.draw(drawn)
    files = {
      "png": figures.png(picture),
      "pdf": figures.pdf(picture),
      "csv": tables.to_csv(panels.rows(drawn)).encode(),
    }
  return Part(name, run, figure, verdicts, files)


def render(parts: Sequence[Part], kind: str, linked: bool) -> str:
  """Fills the template.

  Args:
    parts: of the page.
    kind: "html", with its pictures in it, or "md", which shows those beside it.
    linked: whether each variant has a page of its own below this one.

  Returns:
    The page.
  """
  return page.template(f"paper.{kind}.jinja").render(
    parts=[_view(part) for part in parts], linked=linked
  )


def _view(part: Part) -> dict:
  """Returns what the template reads of a part."""
  run, figure = part.run, part.figure
  first = [runs[0] for runs in run.variants.values()]
  rows = [row for of in run.variants.values() for r in of for row in r.rows]
  judged = [row for row in rows if row["stage"] != "pretext"] or rows
  config = run.config
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
    "png": part.files.get("png"),
    "varied": _varied(first),
    "variants": {name: task_name(name) for name in run.variants},
    "overlap": overlaps.by_layer(run.overlaps),
    "sparsity": _sparsity_table(run) if "natural" in run.name else None,
    "rewinds": _rewind_table(run) if "rewind" in run.name else None,
    "commits": sorted({str(r.commit) for r in first}),
    "versions": first[0].versions,
    "runs": [str(pathlib.Path(path).name) for path in run.paths],
  }


def tally(verdicts: Sequence[Verdict]) -> str:
  """Says how many claims hold: "7 hold, 1 does not hold, 2 undecided"."""
  counts = collections.Counter(v.verdict for v in verdicts)
  words = {HOLDS: "hold", FAILS: "do not hold", UNDECIDED: "undecided"}
  parts = []
  for verdict, word in words.items():
    count = counts[verdict]
    if count:
      singular = count == 1 and verdict != UNDECIDED
      parts.append(f"{count} {verdict if singular else word}")
  return ", ".join(parts) or "nothing tested yet"


def verdict_table(verdicts: Sequence[Verdict]) -> tables.Table:
  """Tabulates claims: the verdict, the number, its interval, the test."""
  rows = []
  for v in verdicts:
    interval = ""
    if v.low is not None:
      low, high = (f"{100 * x:.1f}".replace("-", "−") for x in (v.low, v.high))
      interval = f"{low} to {high}"
    number = tables.write_estimate(v.found) if v.found else ""
    n = str(v.found.n) if v.found else ""
    rows.append([v.claim, v.verdict, number, interval, n, v.test])
  header = ["claim", "verdict", "found (points, %)", "95 % interval", "n"]
  return tables.Table([*header, "test"], rows)


def _varied(runs: Sequence) -> tables.Table | None:
  """Tabulates what the variants differ in, fields as rows."""
  table = page.differing(runs)
  if table is None:
    return None
  names = [task_name(run.path.name) for run in runs]
  rows = [row for row in table.rows if row[0] not in _NAMES]
  return tables.Table(["field", *names], rows) if rows else None


def _sparsity_table(run: FigureRun) -> tables.Table:
  """Tabulates natural sparsity by threshold, mean and standard error."""
  rows = []
  for variant in run.variants:
    row = [task_name(variant)]
    for threshold in ("zero", "machine_precision", "1e-5"):
      shares = list(run.natural_sparsity(variant, threshold).values())
      row.append(tables.write_estimate(estimate(shares)) if shares else "")
    rows.append(row)
  header = ["dense network", "exactly 0 (%)", "machine precision (%)"]
  return tables.Table([*header, "at most 1e-5 (%)"], rows)


def _rewind_table(run: FigureRun) -> tables.Table:
  """Tabulates where each criterion rewinds to: the paper's table 1."""
  rows = []
  for variant, runs in run.variants.items():
    config = runs[0].config
    k = sorted({row["rewind_update"] for row in runs[0].rows})
    batch = config["train"]["batch_size"]
    rewind = config["prune"]["rewind"]
    rows.append([task_name(variant), rewind, str(batch), tables.write_range(k)])
  return tables.Table(["criterion", "rewind", "batch", "update k"], rows)
