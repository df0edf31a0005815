"""What a round of pruning leaves on disk: its tickets, and what remains."""

from concurrent import futures
from typing import Any

from absl import logging
from etils import epath
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import workdir as workdir_lib
from sslprune_jax.config import plugins
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import sparsity, tickets
from sslprune_jax.pruning.masks import Masks
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime import files
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.workdir import Stage


def save(
  workdir: epath.Path,
  stage: Stage,
  masks: Masks,
  variables: dict[str, dict[str, Tree]],
  config: ConfigDict,
  meta: dict[str, Any],
  uses: dict[str, int],
) -> None:
  """Saves both tickets of a round, and what remains of its layers.

  Args:
    workdir: folder of the study.
    stage: round of a task.
    masks: masks of the round.
    variables: W_k as "ticket", and what training ended with as "trained".
    config: configuration of the study.
    meta: JSON values that both tickets say beside the rest.
    uses: uses of each kernel, as of `models.uses`.
  """
  directory = workdir / stage.path

  def write(kind):
    said = {
      "kind": kind,
      "task": stage.task,
      "seed": stage.seed,
      "round": stage.round,
      "density": masks_lib.density(masks),
      **meta,
      "config": config_lib.resolve(config),
      "plugins": plugins.list_used(config),
    }
    ticket = Ticket(masks, meta=said, **variables[kind])
    tickets.save(directory / f"{kind}.npz", ticket)

  with futures.ThreadPoolExecutor() as threads:  # Of ResNet-50 a second.
    list(threads.map(write, ("ticket", "trained")))
  params = variables["trained"]["params"]
  report = sparsity.report(masks, params, uses)
  for layer in report["layers"]:
    if not layer["kept"]:  # Said, never mended silently.
      logging.warning("%s: nothing of %s remains", stage.path, layer["path"])
  files.write_json(directory / workdir_lib.SPARSITY, report)
  report = sparsity.magnitudes(params, masks)
  files.write_json(directory / workdir_lib.MAGNITUDES, report)
