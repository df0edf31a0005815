"""One update of each task, held to numbers that only NUMERICS may move.

When they move, the bits of every study do: raise `training.step.NUMERICS`, run
`python tests/test_numerics.py`, and say in the commit why. The bits themselves
depend on the machine; `benchmarks/golden.py` compares them.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import data, models, tasks
from sslprune_jax.config import recipes
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices, trees
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step as step_lib

GOLDEN = pathlib.Path(__file__).parent / "numerics.json"
TASKS = ("labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster")


def _updated(name):
  """Returns the loss of an update, and the norm of every leaf after it."""
  config = recipes.study(name, "digits")
  config.model.width = 0.25
  # What recipes were when the numbers were written; they may change.
  config.rotnet.copies = 4
  if name in ("exemplar", "npid"):
    config.dataset.update(jitter=(0.4, 0.4, 0.0, 0.0), rotation=10.0)
  source = data.load(data.Spec.from_config(config.dataset, "train"))
  task = tasks.make(config, name, source)
  network = models.from_config(config.model, task.num_outputs)
  variables = state_lib.initialize(
    network, source.image_shape, jax.random.key(0)
  )
  optimizer = optimizer_lib.optimizer(
    "sgd", weight_decay=0.01, own_head=task.by_epoch
  )
  state = state_lib.create(
    variables,
    masks_lib.dense(variables["params"]),
    optimizer,
    jax.random.key(1),
    task_state=task.init(jax.random.key(2), source),
  )
  if name == "deepcluster":  # In place of clusters, which no epoch has found.
    shared = {
      **state.task_state.shared, "assignment": jnp.asarray(source.labels)
    }  # fmt: skip
    state = state.replace(task_state=tasks.TaskState(shared=shared))
  order = task.order(0, 0, source, jax.device_get(state.task_state.shared))
  index = order[: 16 * task.reads]
  rows = {**source.read(index), "index": index.astype(np.int32)}
  step = step_lib.make_step(
    network, task, optimizer, optimizer_lib.schedule("constant", 0.1, length=1)
  )
  updated, metrics = jax.jit(
    jax.vmap(
      step,
      in_axes=(state_lib.AXES, 0),
      out_axes=(state_lib.AXES, None),
      axis_name=devices.AXIS,
    )
  )(state, jax.tree.map(lambda row: jnp.asarray(row)[None], rows))
  kept = {
    "params": updated.params,
    "batch_stats": updated.batch_stats,
    "opt_state": updated.opt_state,
  }
  norms = {
    leaf_name: float(np.linalg.norm(np.asarray(leaf, np.float64)))
    for leaf_name, leaf in trees.named_leaves(kept).items()
  }
  return {"loss": float(metrics["loss"]), "norms": norms}


@pytest.mark.parametrize("name", TASKS)
def test_an_update_ends_in_the_numbers_that_numerics_stands_for(name):
  golden = json.loads(GOLDEN.read_text())
  assert golden["numerics"] == step_lib.NUMERICS
  expected, found = golden[name], _updated(name)
  message = "raise NUMERICS if this is meant: see the head of this file"
  assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5), message
  assert found["norms"] == pytest.approx(
    expected["norms"], rel=1e-5, abs=1e-8
  ), message


if __name__ == "__main__":
  jax.config.update("jax_platforms", "cpu")
  jax.config.update("jax_disable_most_optimizations", True)  # As conftest.
  numbers = {name: _updated(name) for name in TASKS}
  numbers["numerics"] = step_lib.NUMERICS
  GOLDEN.write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n")
