"""Runs a study: `python -m sslprune_jax.main --config=configs/quickstart.py`.

The same command again goes on where a killed run was, and does nothing but
write the report once the study is done.
"""

import os
import re
import sys

from absl import app, flags
from ml_collections import config_flags

from sslprune_jax import command_line, side_by_side

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The study: a file of configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where everything is written; runs/<config.name> by default."
)
_PROCESSES = flags.DEFINE_integer(
  "processes",
  None,
  "The seeds are divided among this many processes, each on a device of its "
  "own: an accelerator, or a core. By default one process takes all devices.",
  lower_bound=1,
)
_SHARE = flags.DEFINE_string(
  "share",
  None,
  "Which share of the seeds to run alone: 0/2 or 1/2, such as on two hosts "
  "that see one workdir. The same command without it joins them.",
)


_COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "Run together with other processes, on the devices of all: HOST:PORT of the "
  "first, with --process; or auto, on Cloud TPU, under SLURM, Open MPI and "
  "Kubernetes.",
)
_PROCESS = flags.DEFINE_string(
  "process", None, "Which of the processes this is: 0/2 or 1/2."
)


def main(argv: list[str]) -> None:
  """Runs the study that the flags name."""
  del argv
  share, children = _part("share", (0, 1)), []
  _check_coordinator()
  if _SHARE.value:
    side_by_side.die_with_parent()
  elif _PROCESSES.value:
    # Before anything slow is imported here, which they import too.
    children = side_by_side.start(sys.argv[1:], _PROCESSES.value)
    # What joins their results sees one device, as they do.
    os.environ.update(side_by_side.device(0))

  def work():
    from sslprune_jax import preemption, processes, studies

    workdir = _WORKDIR.value or f"runs/{_CONFIG.value.name}"
    if _COORDINATOR.value:
      processes.start(_COORDINATOR.value, *_part("process", ()))
    preemption.watch()
    side_by_side.finish(children)
    studies.run(_CONFIG.value, workdir, share)
    return workdir

  command_line.run(
    work,
    "; remove the folder round_.. that it lies in and run the same command: it "
    "is made again, bit for bit",
    reports=not _SHARE.value,
  )


def _part(flag: str, default: tuple[int, ...]) -> tuple[int, ...]:
  """Returns (i, n) of a flag i/n."""
  value = flags.FLAGS[flag].value
  if value is None:
    return default
  match = re.fullmatch(r"(\d+)/(\d+)", value)
  if not match or int(match[1]) >= int(match[2]):
    sys.exit(f"error: --{flag}: found {value!r}, expected such as 0/2 or 1/2")
  return int(match[1]), int(match[2])


def _check_coordinator() -> None:
  """Refuses flags that do not go together."""
  named = _COORDINATOR.value not in (None, "auto")
  if named != (_PROCESS.value is not None):
    sys.exit(
      "error: --process: expected together with --coordinator=HOST:PORT, and "
      "not without"
    )
  if _COORDINATOR.value and (_PROCESSES.value or _SHARE.value):
    sys.exit(
      "error: --coordinator: found --processes or --share, expected neither: "
      "the processes share the work of every update"
    )


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command_line.parse)
