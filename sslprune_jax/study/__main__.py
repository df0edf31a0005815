"""Verifies workdirs: `sslprune verify RUN`."""

import sys
from collections.abc import Sequence

from etils import epath

from sslprune_jax import workdir as workdir_lib
from sslprune_jax.runtime import endings
from sslprune_jax.runtime.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
  """Verifies workdirs, and prints what is damaged.

  Args:
    argv: arguments; those of the process by default.

  Returns:
    The exit status: 0, or 1 where something is damaged.

  Raises:
    SystemExit: 2, a flag that there is none of; or 1, in one line.
  """
  parser = endings.ArgumentParser(
    prog="sslprune verify",
    description="Reads everything that the results of a run stand for, and "
    "says what is damaged and what to delete: the same command as before then "
    "makes it again, bit for bit.",
  )
  parser.add_argument(
    "runs", nargs="+", metavar="RUN", help="workdir: holds config.json"
  )
  runs = parser.parse_args(argv).runs
  # Imported here, so that --help and a mistyped path answer at once.
  from sslprune_jax.study.verify import verify

  status = 0
  for run in runs:
    config = epath.Path(run) / workdir_lib.CONFIG
    if not config.exists():
      endings.refuse(f"{config}: found no such file, expected that of a run")
    try:
      damages, done, unverifiable = verify(epath.Path(run))
    except (UserError, OSError) as error:
      endings.refuse(error)
    for words, place in damages:
      first = f"delete {place} and " if place.exists() else ""
      print(
        f"error: {words}; {first}run the command of the study again",
        file=sys.stderr,
      )
    said = f"{run}: {done} stages done"
    if unverifiable:
      said += (
        f", {unverifiable} of the first version, whose files cannot be verified"
      )
    print(f"{said}, {len(damages) or 'nothing'} damaged", flush=True)
    status = 1 if damages else status
  return status


if __name__ == "__main__":
  endings.start(main)
