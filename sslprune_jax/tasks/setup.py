"""Makes the tasks and networks of a study from its configuration."""

import functools
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from sslprune_jax import data, models
from sslprune_jax.runtime import devices
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.tasks import (
  NPID,
  S4L,
  SUPERVISED,
  DeepCluster,
  Exemplar,
  Labels,
  ManyLabels,
  RotNet,
  Task,
)
from sslprune_jax.tasks.rotnet import NUM_ROTATIONS


def make_task(config: ConfigDict, name: str, source: data.Source) -> Task:
  """Makes a task.

  Args:
    config: validated.
    name: of the task.
    source: the training images, with all their labels.

  Returns:
    The task.

  Raises:
    ConfigError: it needs labels, and the images have none.
  """
  dataset = config.dataset
  views = {
    "augment": data.Augment(
      padding=dataset.padding,
      flip=dataset.flip,
      crop_scale=tuple(dataset.crop_scale) or None,
      rotation=dataset.rotation,
      jitter=tuple(dataset.jitter),
      grey=dataset.grey,
    ),
    "normalise": make_normalise(dataset),
  }
  settings = config[name].to_dict()
  if name == "rotnet":
    return RotNet(num_outputs=NUM_ROTATIONS, **settings, **views)
  if name == "exemplar":
    outputs = settings.pop("embedding")
    return Exemplar(num_outputs=outputs, **settings, **views)
  if name == "npid":
    outputs = settings.pop("embedding")
    classes = source.num_classes
    return NPID(num_outputs=outputs, num_classes=classes, **settings, **views)
  if name == "deepcluster":
    outputs = settings.pop("clusters")
    return DeepCluster(num_outputs=outputs, **settings, **views)
  outputs = _label_outputs(config, source)
  if source.multi_label:
    return ManyLabels(num_outputs=outputs, **views)
  if name == "s4l":
    return S4L(num_outputs=NUM_ROTATIONS + outputs, **settings, **views)
  return Labels(num_outputs=outputs, **views)


def make_network(
  model: ConfigDict, num_outputs: int, probed: str = ""
) -> models.Network:
  """Makes the network that the section `model` describes.

  Args:
    model: validated.
    num_outputs: width of the head.
    probed: see `models.Network`.
  """
  return models.build(
    model.name,
    num_outputs,
    dtype=model.dtype,
    batch_norm_axis=devices.AXIS if model.batch_norm == "global" else None,
    sobel=model.sobel,
    probed=probed,
    width=model.width,
    remat=model.remat,
  )


def make_normalise(dataset: ConfigDict) -> Callable[[jax.Array], jax.Array]:
  """Returns what turns the bytes of a data set into numbers."""
  return functools.partial(data.normalise, mean=dataset.mean, std=dataset.std)


def _label_outputs(config: ConfigDict, source: data.Source) -> int:
  classes = source.num_classes
  if not classes:
    raise ConfigError(
      f"config.dataset: {source.name} has no labels, which the tasks "
      f"{' and '.join(SUPERVISED)} and retraining need; name other "
      "config.tasks and set config.retrain.rounds=()"
    )
  outputs = config.model.outputs or classes
  if outputs < classes:
    raise ConfigError(
      f"config.model.outputs: found {outputs}, expected at least the "
      f"{classes} classes of {source.name}, or 0"
    )
  return outputs
