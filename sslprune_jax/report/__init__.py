"""Report: results of studies -> tables, figures and one HTML page.

It reads what runs left on disk and needs no JAX: a page opens at once.
"""

from collections.abc import Sequence

from etils import epath

from sslprune_jax.report import page, results, tables

ResultsError = results.ResultsError


def write(
  runs: Sequence[epath.PathLike], out: epath.PathLike
) -> list[epath.Path]:
  """Joins runs into one page, its figures and its numbers.

  Args:
    runs: workdirs of studies, finished or not.
    out: where the HTML page goes; `figures/` and `results.csv` come beside it.

  Returns:
    The files written, the page first.

  Raises:
    ResultsError: runs that cannot be read or joined, in one line.
  """
  out = epath.Path(out)
  if out.is_dir():
    raise ResultsError(f"{out} is a folder: name the page, {out}/report.html")
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
  for file, content in files.items():
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
  return list(files)
