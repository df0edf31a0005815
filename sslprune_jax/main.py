"""Runs a study: `python -m sslprune_jax.main --config=configs/quickstart.py`.

The same command again goes on where a killed run was, and does nothing but
write the report once the study is done. `sslprune run` is the same command.

--config takes the name of a file of configs/ too, from anywhere: quickstart, or
paper/fig4_depth:digits. `sslprune fields` lists the fields of a configuration,
which --config.FIELD=VALUE sets.
"""

import os
import sys

from absl import flags

from sslprune_jax import cli
from sslprune_jax.runtime import workers

_CONFIG = cli.define_config(
  "The study: a file, or the name of one of configs/."
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
cli.define_shared("coordinator", "process", "accept_numerics")


def main(argv: list[str]) -> None:
  """Runs the study that the flags name."""
  del argv
  share, children = (0, 1), []
  if cli.runs_with_others() and (_PROCESSES.value or _SHARE.value):
    sys.exit(
      "error: --coordinator: found --processes or --share, expected neither: "
      "the processes share the work of every update"
    )
  if _SHARE.value:
    share = cli.share_of("share", _SHARE.value)
    workers.die_with_parent()
  elif _PROCESSES.value:
    # Before anything slow is imported here, which they import too.
    try:
      children = workers.start(
        "sslprune_jax.main", sys.argv[1:], _PROCESSES.value
      )
    except workers.ShareError as error:
      sys.exit(f"error: {error}")
    # What joins their results sees one device, as they do.
    os.environ.update(workers.device(0))

  def work():
    from sslprune_jax.study import run

    cli.join_others(children)
    workdir = _WORKDIR.value or f"runs/{_CONFIG.value.name}"
    run.run(
      _CONFIG.value,
      workdir,
      share,
      accept_numerics=cli.accepts_numerics(),
    )
    return workdir

  cli.run(
    work,
    "; remove the folder round_.. that it lies in and run the same command: it "
    "is made again, bit for bit",
    reports=not _SHARE.value,
  )


if __name__ == "__main__":
  cli.start(main, ["config"])
