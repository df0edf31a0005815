"""Masks found with few labels: rotations of all images, labels of some (S4L).

S4L: rotations of all images, and the labels of a tenth of the images of each
class (--config.labels.images, --config.labels.classes).

  python -m sslprune_jax.main --config=configs/s4l.py:cifar10

After the colon: `digits`, `fashion_mnist`, `cifar10`, `imagenet2012`.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("s4l", dataset)
