"""Report: results of studies -> tables, figures and one HTML page.

It reads what runs left on disk and needs no JAX: a page opens at once.
"""

from collections.abc import Sequence

from etils import epath

from sslprune_jax.report import page, results, tables
from sslprune_jax.report.paper import page as page_lib
from sslprune_jax.report.paper import runs as runs_lib

ResultsError = results.ResultsError


def write(
  runs: Sequence[epath.PathLike], out: epath.PathLike
) -> list[epath.Path]:
  """Joins runs into one page, its figures and its numbers.

  Args:
    runs: workdirs of studies, or of the paper's figures; finished or not.
    out: where the page goes, `.html` or, of figures, `.md` too; what it shows
      lies beside it: `figures/` and, of studies, `results.csv`.

  Returns:
    The files written, the page first.

  Raises:
    ResultsError: runs that cannot be read or joined, in one line.
  """
  out = epath.Path(out)
  if out.is_dir():
    raise ResultsError(f"{out} is a folder: name the page, {out}/report.html")
  of_figures = [path for path in runs if runs_lib.variants_of(path)]
  if of_figures and len(of_figures) < len(runs):
    plain = next(path for path in runs if path not in of_figures)
    raise ResultsError(
      f"{plain} is a plain study and {of_figures[0]} has variants: give each "
      "kind a page of its own"
    )
  files = _paper(runs, out) if of_figures else _study(runs, out)
  for file, content in files.items():
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
  return list(files)


def _study(runs, out) -> dict[epath.Path, bytes]:
  """Returns the page of studies, and the files beside it."""
  joined = results.read(runs)
  parts = page.sections(joined)
  moved = page.judged(joined)
  files = {out: page.render(joined, parts, moved).encode()}
  pictures = {
    name: png for part in parts for name, png in part.pictures.items()
  }
  pictures |= {part.name: part.picture for part in moved if part.picture}
  for name, png in pictures.items():
    files[out.parent / "figures" / f"{name}.png"] = png
  rows = [row for run in joined for row in run.rows]
  files[out.parent / "results.csv"] = tables.to_csv(rows).encode()
  return files


def _paper(runs, out) -> dict[epath.Path, bytes]:
  """Returns the page of figures, the files beside it, the variants' pages."""
  kind = out.suffix.removeprefix(".")
  if kind not in ("html", "md"):
    raise ResultsError(f"{out}: expected a name that ends in .html or .md")
  joined = runs_lib.read(runs)
  parts = [page_lib.part(run) for run in joined]
  below = len(runs) == 1 and out.parent == epath.Path(runs[0])
  files = {out: page_lib.render(parts, kind, linked=below).encode()}
  for part in parts:
    for ending, content in part.files.items():
      files[out.parent / "figures" / f"{part.name}.{ending}"] = content
  if below:  # A variant is a study, with the page of one.
    for name, of in joined[0].variants.items():
      files |= _study([of[0].path], out.parent / name / "report.html")
  return files
