"""Runs a study: `python -m sslprune_jax.main --config=configs/quickstart.py`.

The same command again goes on where a killed run was, and does nothing but
write the report once the study is done.
"""

import sys
import time

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The study: a file of configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Where everything is written; runs/<config.name> by default."
)


def main(argv: list[str]) -> None:
  """Runs the study that the flags name, and prints where its report lies."""
  if len(argv) > 1:
    raise app.UsageError(f"found the argument {argv[1]!r}, expected flags only")
  # Imported here, so that --help and a mistyped flag answer at once.
  from sslprune_jax import files, platform_setup, report, study
  from sslprune_jax.checkpoints import CheckpointError
  from sslprune_jax.config import ConfigError
  from sslprune_jax.data import DataError
  from sslprune_jax.tickets import TicketError
  from sslprune_jax.train import DivergedError

  platform_setup.prepare()
  logging.set_verbosity(logging.WARNING)
  started = time.monotonic()
  workdir = _WORKDIR.value or f"runs/{_CONFIG.value.name}"
  try:
    study.run(_CONFIG.value, workdir)
    page, *_ = report.write([workdir], f"{workdir}/report.html")
  except (ConfigError, DataError, DivergedError, report.ResultsError) as error:
    sys.exit(f"error: {error}")
  except (CheckpointError, TicketError) as error:
    sys.exit(
      f"error: {error}; remove the folder round_.. that it lies in and run the "
      "same command: it is made again, bit for bit"
    )
  except KeyboardInterrupt:
    sys.exit("\nstopped; the same command goes on from here")
  print(platform_setup.usage(time.monotonic() - started))
  print(f"report: {files.absolute(page)}")


def parse(argv: list[str]) -> list[str]:
  """Parses the flags; an unknown field of the config is one clear line."""
  try:
    return app.parse_flags_with_usage(argv)
  except (AttributeError, KeyError) as error:
    cause = error.args[0] if error.args else error
    words = cause.args[0] if isinstance(cause, Exception) else cause
    sys.exit(f"error: --config: no field {' '.join(str(words).split())}")


if __name__ == "__main__":
  flags.mark_flag_as_required("config")
  app.run(main, flags_parser=parse)
