"""Report: results of studies -> tables, figures and one HTML page.

It reads what runs left on disk and needs no JAX. What draws and fills pages is
imported with the first page: matplotlib and Jinja take a second to load.
"""

import os
from collections.abc import Sequence

from etils import epath

from sslprune_jax import workdir
from sslprune_jax.report import results, tables
from sslprune_jax.report.paper import joining
from sslprune_jax.report.paper import runs as runs_lib
from sslprune_jax.report.records import ResultsError as ResultsError
from sslprune_jax.runtime import atomic


def write_report(
  runs: Sequence[epath.PathLike], out: epath.PathLike
) -> list[epath.Path]:
  """Joins runs into one page, its figures and its numbers.

  Args:
    runs: workdirs of studies, or of the paper's figures; finished or not.
    out: path of the page, `.html` or, of figures, `.md` too; what it shows
      lies beside it: `figures/` and, of studies, `results.csv`.

  Returns:
    The files written, the page first.

  Raises:
    ResultsError: runs that cannot be read or joined, in one line.
  """
  out = epath.Path(os.path.expanduser(out))
  runs = [
    path
    for run in runs
    for path in joining.figures_of(epath.Path(os.path.expanduser(run)))
  ]
  if out.is_dir():
    raise ResultsError(
      f"{out} is a folder: name the page, {out}/{workdir.REPORT}"
    )
  of_figures = [path for path in runs if joining.variants_of(path)]
  if of_figures and len(of_figures) < len(runs):
    plain = next(path for path in runs if path not in of_figures)
    raise ResultsError(
      f"{plain} is a plain study and {of_figures[0]} has variants: give each "
      "kind a page of its own"
    )
  files = _paper(runs, out) if of_figures else _study(runs, out)
  for file, content in files.items():
    _make_folder(file.parent, out.parent)
    atomic.write(file, content)
  return list(files)


def _make_folder(folder: epath.Path, above: epath.Path) -> None:
  """Makes a folder; a link in place of one below the page's is refused."""
  if folder != above:
    _make_folder(folder.parent, above)
    if os.path.islink(folder):
      raise ResultsError(
        f"{folder}: found a link, expected a folder: nothing is written "
        "outside of that of the page"
      )
  folder.mkdir(parents=True, exist_ok=True)


def _study(runs, out) -> dict[epath.Path, bytes]:
  """Returns the page of studies, and the files beside it."""
  from sslprune_jax.report import page, sections  # Draws.

  joined = results.read(runs)
  names = results.name_tasks(joined)
  brought = sections.draw_brought(joined, names)
  parts = sections.draw_settings(joined, names)
  moved = sections.draw_transfers(joined, names)
  timed = sections.draw_times(joined, names)
  files = {
    out: page.render(joined, brought, parts, moved, timed, names).encode(
      "utf-8", "backslashreplace"
    )
  }
  pictures = {
    name: png for part in parts for name, png in part.pictures.items()
  }
  pictures |= {
    part.name: part.picture
    for part in [*brought, *moved, *timed]
    if part.picture
  }
  for name, png in pictures.items():
    files[out.parent / "figures" / f"{name}.png"] = png
  rows = [row for run in joined for row in run.rows]
  files[out.parent / "results.csv"] = tables.to_csv(rows).encode(
    "utf-8", "backslashreplace"
  )
  return files


def _paper(runs, out) -> dict[epath.Path, bytes]:
  """Returns the page of figures, the files beside it, the variants' pages."""
  from sslprune_jax.report.paper import page  # Draws.

  kind = out.suffix.removeprefix(".")
  if kind not in ("html", "md"):
    raise ResultsError(f"{out}: expected a name that ends in .html or .md")
  joined = runs_lib.read(runs)
  parts = [page.draw_part(run) for run in joined]
  below = len(runs) == 1 and out.parent == epath.Path(runs[0])
  files = {
    out: page.render(parts, kind, linked=below).encode(
      "utf-8", "backslashreplace"
    )
  }
  for part in parts:
    for ending, content in part.files.items():
      files[out.parent / "figures" / f"{part.name}.{ending}"] = content
  if below:  # A variant is a study, with the page of one.
    for name, (run, *_) in joined[0].variants.items():
      files |= _study([run.path], out.parent / name / workdir.REPORT)
  return files
