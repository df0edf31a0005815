"""What a network learns: the tasks, a file each behind one protocol."""

from ml_collections import ConfigDict

from sslprune_jax import data
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.data.augment import make_normalise
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.tasks.base import Task as Task
from sslprune_jax.tasks.base import TaskState as TaskState
from sslprune_jax.tasks.base import Views as Views


def make(config: ConfigDict, name: str, source: data.Source) -> Task:
  """Makes a task of a configuration.

  Args:
    config: the configuration, validated.
    name: name of the task.
    source: the training images, with all their labels.

  Returns:
    The task.

  Raises:
    ConfigError: it needs labels, and the images have none.
  """
  dataset = config.dataset
  views = Views(
    augment=data.Augment(
      padding=dataset.padding,
      flip=dataset.flip,
      # What is cropped as it is decoded is not cropped again.
      crop_scale=None if source.crops else tuple(dataset.crop_scale) or None,
      rotation=dataset.rotation,
      jitter=tuple(dataset.jitter),
      grey=dataset.grey,
    ),
    normalise=make_normalise(dataset),
  )
  task = TASKS.load(name)
  row = TASKS[name]
  settings = config[name].to_dict() if row.fields else {}
  outputs = _label_outputs(config, source) if row.reads_labels else 0
  return task.make(settings, source, outputs, views)


def _label_outputs(config: ConfigDict, source: data.Source) -> int:
  """Returns how many outputs the head has for labels."""
  classes = source.num_classes
  if not classes:
    readers = [name for name, row in TASKS.items() if row.reads_labels]
    raise ConfigError(
      f"config.dataset: {source.name} has no labels, which the tasks "
      f"{' and '.join(readers)} and retraining need; name other "
      "config.tasks and set config.retrain.rounds=()"
    )
  outputs = config.model.outputs or classes
  if outputs < classes:
    raise ConfigError(
      f"config.model.outputs: found {outputs}, expected at least the "
      f"{classes} classes of {source.name}, or 0"
    )
  return outputs
