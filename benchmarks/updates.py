"""One update of each task, and of each network: its loss, and norms of leaves.

`tests/test_numerics.py` holds them to `tests/numerics.json` on a CPU, and
`parts/correct.py` on an accelerator.
"""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax import data, models, tasks
from sslprune_jax.config import recipes
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import devices, trees
from sslprune_jax.training import optimizer as optimizer_lib
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step as step_lib

STORED = pathlib.Path(__file__).parent.parent / "tests/numerics.json"
TASKS = ("labels", "rotnet", "exemplar", "npid", "s4l", "deepcluster")
# Side of the made-up images of each network; the tasks train the convnet.
NETWORKS = {"resnet18": 32, "resnet50": 64, "vgg19": 32, "alexnet": 96}
_IMAGES = 16


def stored():
  """Returns what CPUs found, by task and network, and its `NUMERICS`."""
  return json.loads(STORED.read_text())


def update(name, dtype="float32"):
  """Makes the first update of a task on digits, or of a network on labels.

  Args:
    name: one of `TASKS` or of `NETWORKS`.
    dtype: dtype of the compute.

  Returns:
    JSON values: the `loss`, and the `norms` of every leaf of the new state by
    its name; of a network those of the moments, which are its gradients.
  """
  config, source = _network(name) if name in NETWORKS else _task(name)
  config.model.dtype = dtype
  task_name = "labels" if name in NETWORKS else name
  task = tasks.make(config, task_name, source)
  network = models.from_config(config.model, task.num_outputs)
  optimizer = optimizer_lib.optimizer(
    "sgd", weight_decay=0.01, own_head=task.by_epoch
  )
  state = _state(network, task, optimizer, source)
  order = task.order(0, 0, source, jax.device_get(state.task_state.shared))
  index = order[: _IMAGES * task.reads]
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
  kept = {"opt_state": updated.opt_state}
  if name in TASKS:
    kept |= {"params": updated.params, "batch_stats": updated.batch_stats}
  norms = {
    leaf_name: float(np.linalg.norm(np.asarray(leaf, np.float64)))
    for leaf_name, leaf in trees.named_leaves(kept).items()
  }
  return {"loss": float(metrics["loss"]), "norms": norms}


def _task(name):
  """Returns the configuration of a task, and digits."""
  config = recipes.study(name, "digits")
  config.model.width = 0.25
  # What recipes were when the numbers were written; they may change.
  config.rotnet.copies = 4
  if name in ("exemplar", "npid"):
    config.dataset.update(jitter=(0.4, 0.4, 0.0, 0.0), rotation=10.0)
  return config, data.load(data.Spec.from_config(config.dataset, "train"))


def _network(name):
  """Returns the configuration of a network, and made-up images."""
  config = recipes.study("labels", "imagenet2012")
  config.model.update(name=name, width=0.25)
  return config, made_up(_IMAGES, NETWORKS[name])


@functools.cache
def made_up(count, size, channels=3, classes=10):
  """Returns a source of images of noise, the same ones every time.

  Args:
    count: number of images.
    size: their side.
    channels: number of channels.
    classes: number of classes, which follow each other.
  """
  pixels = np.random.default_rng(0).integers(
    0, 256, (count, size, size, channels), np.uint8
  )
  labels = np.arange(count, dtype=np.int32) % classes
  return data.ArraySource(pixels, labels)


def _state(network, task, optimizer, source):
  variables = state_lib.initialize(
    network, source.image_shape, jax.random.key(0)
  )
  state = state_lib.create(
    variables,
    masks_lib.dense(variables["params"]),
    optimizer,
    jax.random.key(1),
    task_state=task.init(jax.random.key(2), source),
  )
  if not task.by_epoch:
    return state
  # In place of clusters, which no epoch has found.
  shared = {
    **state.task_state.shared, "assignment": jnp.asarray(source.labels)
  }  # fmt: skip
  return state.replace(task_state=tasks.TaskState(shared=shared))


def main():
  """Writes the numbers of this CPU."""
  jax.config.update("jax_platforms", "cpu")
  jax.config.update("jax_disable_most_optimizations", True)  # As conftest.
  numbers = {name: update(name) for name in (*TASKS, *NETWORKS)}
  numbers["numerics"] = step_lib.NUMERICS
  STORED.write_text(json.dumps(numbers, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
  main()
