"""What a network learns: the tasks, a file each behind one protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax import data, models
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.data.augment import make_normalise
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.tasks.base import Task as Task
from sslprune_jax.tasks.base import TaskState as TaskState
from sslprune_jax.tasks.base import Views as Views


def make(
  config: ConfigDict,
  name: str,
  source: data.Source,
  views: Mapping[str, Any] | None = None,
  start: Ticket | None = None,
) -> Task:
  """Makes a task of a configuration.

  Args:
    config: the configuration, validated.
    name: name of the task.
    source: the training images, with all their labels.
    views: augmentations in place of the data set's, where they are set: the
      section `config.views` of a task that finds masks; None: the data set's,
      which are those of labels.
    start: network that the study starts from, where it does.

  Returns:
    The task.

  Raises:
    ConfigError: it needs labels, and the images have none; or a network that
      the study starts from, and it is drawn.
  """
  dataset, own = config.dataset, views or {}
  # What is cropped as it is decoded is not cropped again.
  cropped = () if source.crops else own.get("crop_scale") or dataset.crop_scale
  shown = Views(
    augment=data.Augment(
      padding=0 if own.get("crop_scale") else dataset.padding,
      flip=dataset.flip,
      crop_scale=tuple(cropped) or None,
      rotation=own.get("rotation") or dataset.rotation,
      jitter=tuple(_set(own.get("jitter")) or dataset.jitter),
      grey=own.get("grey") or dataset.grey,
    ),
    normalise=make_normalise(dataset),
  )
  task = TASKS.load(name)
  row = TASKS[name]
  settings = config[name].to_dict() if row.fields else {}
  if row.learns_from_start:
    settings |= _teacher(config, name, start)
  outputs = _label_outputs(config, source) if row.reads_labels else 0
  return task.make(settings, source, outputs, shown)


def _teacher(
  config: ConfigDict, name: str, start: Ticket | None
) -> dict[str, Any]:
  """Returns the frozen network that a task learns from, without a head."""
  if start is None:
    raise ConfigError(
      f"config.tasks: found {name}, which learns what the network of "
      "config.start gives, expected config.start=FILE"
    )
  network = models.without_head(models.from_config(config.model, 1))
  variables = {
    group: {k: v for k, v in tree.items() if k == "trunk"}
    for group, tree in start.variables.items()
  }
  return {"network": network, "teacher": variables}


def _set(jitter: Sequence[float] | None) -> Sequence[float] | None:
  """Returns strengths of which one at least is not 0; None of others."""
  return jitter if jitter and any(jitter) else None


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
