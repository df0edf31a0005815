"""What is saved of a training state, and the state that is made of it again."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.runtime.trees import Tree, named_leaves, with_leaves
from sslprune_jax.tasks.task_state import TaskState
from sslprune_jax.training.state import TrainState, place

# What is saved beside the task's share: the base key is a function of the seed,
# and the step is the name of the folder.
SAVED = ("params", "batch_stats", "opt_state", "masks")
FIELDS = (*SAVED, "shared", "by_sample")  # with the task's share


def fields(state: TrainState) -> dict[str, Any]:
  """Returns what is saved of a state but for its rows by sample.

  Args:
    state: state on the devices.

  Returns:
    `SAVED`, and the task's `shared`.
  """
  found = {name: getattr(state, name) for name in SAVED}
  return found | {"shared": state.task_state.shared}


def copy(state: TrainState) -> dict[str, Any]:
  """Lets the devices copy what is saved of a state, and does not wait.

  Args:
    state: state on the devices, which may be donated next.

  Returns:
    `SAVED`, and the task's `shared`, on the first device of this process, and
    `by_sample`, split as it was.
  """
  first = jax.tree.map(lambda leaf: leaf.addressable_data(0), fields(state))
  by_sample = state.task_state.by_sample
  if jax.tree.leaves(by_sample):  # Else an empty program is compiled.
    by_sample = _copy(by_sample)
  return _copy(first) | {"by_sample": by_sample}


@jax.jit
def _copy(tree: Tree) -> Tree:
  return jax.tree.map(jnp.copy, tree)


def fit(
  found: Mapping[str, Mapping[str, np.ndarray]], like: Mapping[str, Tree]
) -> dict[str, dict[str, np.ndarray]]:
  """Lays what was saved out as the trees that it should fill.

  Args:
    found: leaves by field and name.
    like: trees by field, whose shapes and dtypes are read.

  Returns:
    Leaves by field of `like`, and by name.

  Raises:
    ValueError: they are another network's, or another task's.
  """
  fitting = {}
  for field, tree in like.items():
    expected, leaves = named_leaves(tree), dict(found.get(field, {}))
    if field == "by_sample" and leaves.keys() == expected.keys():
      # Of another number of devices, maybe.
      leaves = {k: _lay_out_again(v, expected[k]) for k, v in leaves.items()}
    if _kinds(leaves) != _kinds(expected):
      raise ValueError(f"{field} is of another network or task")
    fitting[field] = leaves
  return fitting


def _kinds(leaves: Mapping[str, Any]) -> dict[str, Any]:
  return {name: (leaf.shape, leaf.dtype) for name, leaf in leaves.items()}


def _lay_out_again(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
  """Lays rows by sample out for another number of devices.

  Args:
    rows: [D,R,...], of `samples.split`.
    like: [D',R',...]; the padding at the end differs.

  Returns:
    [D',R',...].
  """
  rows, count = rows.reshape(-1, *rows.shape[2:]), like.shape[0] * like.shape[1]
  rows = np.pad(
    rows[:count], [(0, max(0, count - len(rows)))] + [(0, 0)] * (rows.ndim - 1)
  )
  return rows.reshape(like.shape)


def restore(
  like: TrainState, update: int, leaves: Mapping[str, Mapping[str, Any]]
) -> TrainState:
  """Makes a state on the devices of what was saved of one.

  Args:
    like: state of the same structure; gives the base key too.
    update: number of updates done.
    leaves: leaves on the host by field of `copy`, and by name.
  """
  same = {k: with_leaves(getattr(like, k), leaves[k]) for k in SAVED}
  task_state = restore_task(like.task_state, leaves)
  return place(
    like.replace(step=np.int32(update), task_state=task_state, **same)
  )


def restore_task(
  like: TaskState, leaves: Mapping[str, Mapping[str, Any]]
) -> TaskState:
  """Returns the task's share of what was saved; see `restore`."""
  return TaskState(
    with_leaves(like.shared, leaves["shared"]),
    with_leaves(like.by_sample, leaves["by_sample"]),
    like.fixed,
  )
