"""W_k of a task, read once for all its rounds where memory allows."""

import contextlib
import os

import jax

from sslprune_jax.runtime import processes
from sslprune_jax.runtime.trees import Tree
from sslprune_jax.tasks.base import TaskState
from sslprune_jax.training.checkpoints import Checkpoints

_SHARE = 1 / 32  # of the memory: 0.5 GB of 16

Rewound = tuple[dict[str, Tree], TaskState]


class EarlyWeights:
  """What was rewound to last, of one seed and task."""

  def __init__(self):
    self._of, self._found = None, None

  def read(
    self,
    saved: Checkpoints,
    k: int,
    like: dict[str, Tree],
    like_task: TaskState,
    keeps: bool,
  ) -> Rewound:
    """Reads W_k, unless it is in memory; see `Checkpoints.rewind`.

    Args:
      saved: checkpoints of the task's dense training; closed here.
      k: update that W_k is of.
      like: variables of the same structure.
      like_task: the task's state, of the same structure.
      keeps: whether it is read again later.
    """
    of, found = (saved.directory, k), self._found
    if of != self._of:
      self._found = None  # Not two at a time.
      with contextlib.closing(saved):
        variables, task_state = saved.rewind(k, like, like_task)
      found = variables, task_state.replace(fixed={})
    keeps = keeps and _is_small(found)
    self._of, self._found = (of, found) if keeps else (None, None)
    variables, task_state = found
    return variables, task_state.replace(fixed=like_task.fixed)


def _is_small(tree: Tree) -> bool:
  size = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
  # The first process decides for all: they have to read together.
  return processes.from_first(lambda: size <= _SHARE * _host_bytes())


def _host_bytes() -> int:
  return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
