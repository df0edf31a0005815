"""Command line of the report: python -m sslprune_jax.report RUN [RUN ...]."""

import sys
from collections.abc import Sequence

from etils import epath

from sslprune_jax import report, workdir
from sslprune_jax.runtime import endings
from sslprune_jax.runtime.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
  """Writes a report and prints where it lies.

  Args:
    argv: arguments; those of the process by default.

  Returns:
    The exit status: 0, or 1 with one line on standard error.

  Raises:
    SystemExit: 2, a flag that there is none of; 1, no run is named.
  """
  parser = endings.ArgumentParser(
    prog="python -m sslprune_jax.report",
    description="Joins the results of one or more runs into one HTML page, "
    "with figures/*.png and results.csv beside it. A run may be unfinished. "
    "Seeds of the same study given as several runs are averaged. Runs of "
    "configs/paper/ give the paper's figures, and verdicts on what it found.",
  )
  parser.add_argument(
    "runs",
    nargs="+",
    metavar="RUN",
    help="workdir of a run: the folder that holds results.jsonl",
  )
  parser.add_argument(
    "--out",
    metavar="PAGE",
    help="the page to write (default, with one RUN: RUN/report.html); of the "
    "paper's figures Markdown too, by a name that ends in .md",
  )
  flags = parser.parse_args(argv)
  try:
    if flags.out is None and len(flags.runs) > 1:
      raise report.ResultsError("several runs: say where with --out=PAGE")
    out = flags.out or epath.Path(flags.runs[0]) / workdir.REPORT
    print(report.write_report(flags.runs, out)[0])
  except (UserError, OSError) as error:
    print(f"error: {error}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  endings.start(main)
