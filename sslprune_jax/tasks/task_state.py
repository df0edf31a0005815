"""What a task carries along beside the weights."""

import flax.struct

from sslprune_jax.runtime.trees import Tree


@flax.struct.dataclass
class TaskState:
  """What a task carries along, `{}` for most.

  Attributes:
    shared: replicated.
    by_sample: a row for every training image, split over the devices: leaves
      `[D, ceil(N / D), ...]`, from `samples.split`.
    fixed: replicated, and the same at every update, as a teacher is: it is in
      no checkpoint, `init` gives it again.
  """

  shared: Tree = flax.struct.field(default_factory=dict)
  by_sample: Tree = flax.struct.field(default_factory=dict)
  fixed: Tree = flax.struct.field(default_factory=dict)


# Which leaves have a device axis: the `in_axes` of a step.
TASK_AXES = TaskState(shared=None, by_sample=0, fixed=None)
