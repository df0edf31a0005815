r"""Says what a study costs on a TPU, without one, before it is rented.

  python -m sslprune_jax.preflight --config=configs/rotnet.py:imagenet2012 \
    --topology=v5e:4x8

The training step is compiled by the TPU's own compiler (the extra `tpu`); the
images are not needed. Exit status 1 says that the step does not fit.
"""

import json
import os
import sys

from absl import flags, logging

from sslprune_jax import cli
from sslprune_jax.runtime.errors import UserError

_CONFIG = cli.define_config(
  "The study: a file, or the name of one of configs/."
)
_TOPOLOGY = flags.DEFINE_string(
  "topology",
  None,
  "Kind and shape of the slice: v5e:2x4, v6e:4x8, v4:2x2x2, v5p:4x4x4, ...",
)
_TASK = flags.DEFINE_string(
  "task",
  None,
  "Whose step is compiled: a task of the study, or retrain; by default the "
  "first task.",
)
_JSON = flags.DEFINE_bool("json", False, "Print one line of JSON.")


def main(argv: list[str]) -> None:
  """Answers for the study that the flags name."""
  del argv
  # A TPU that is here is left alone. JAX reads this when it is imported.
  os.environ["JAX_PLATFORMS"] = "cpu"
  logging.set_verbosity(logging.WARNING)
  from sslprune_jax import preflight
  from sslprune_jax.preflight import table

  try:
    found = preflight.estimate_cost(_CONFIG.value, _TOPOLOGY.value, _TASK.value)
  except UserError as error:
    sys.exit(f"error: {error}")
  print(json.dumps(found) if _JSON.value else "\n".join(table.lines(found)))
  sys.exit(0 if found["fits"] else 1)


if __name__ == "__main__":
  cli.start(main, ["config", "topology"], resumes=False)
