"""Masks found with few labels: rotations of all images, labels of some (S4L).

A tenth of the images of each class is labelled: --config.labels.images, or all
of some classes: --config.labels.classes. ImageNet: the paper's recipe
(supplement 6.4), whose batch of 2048 rows is 256 images and 256 labelled ones
at all four angles, and whose epochs are of the labelled tenth (Zhai et al.'s
code). The other sets are ours: their epochs are of all images.

  python -m sslprune_jax.main --config=configs/s4l.py:cifar10

After the colon: `digits` and `fashion_mnist` (small networks, minutes on a CPU)
or `cifar10` and `imagenet2012` (ResNet-18 and ResNet-50,
30 rounds, 6 and 3 seeds). The set must be prepared by TFDS under
--config.dataset.data_dir or ~/tensorflow_datasets.

Result for cifar10 and imagenet2012: not run. What its features are worth on
digits and Fashion-MNIST, and which settings were tried: docs/sweeps.md.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("s4l", dataset)
