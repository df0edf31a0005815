"""Runs a study: `python -m sslprune_jax.main --config=configs/quickstart.py`.

The same command again goes on where a killed run was, and does nothing but
write the report once the study is done.
"""

from absl import app, flags
from ml_collections import config_flags

from sslprune_jax import command_line

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The study: a file of configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where everything is written; runs/<config.name> by default."
)


def main(argv: list[str]) -> None:
  """Runs the study that the flags name."""
  del argv

  def work():
    from sslprune_jax import studies

    workdir = _WORKDIR.value or f"runs/{_CONFIG.value.name}"
    studies.run(_CONFIG.value, workdir)
    return workdir

  command_line.run(
    work,
    "; remove the folder round_.. that it lies in and run the same command: it "
    "is made again, bit for bit",
  )


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=command_line.parse)
