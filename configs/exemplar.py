"""Masks found without labels: prune while telling images apart (Exemplar).

Two views of each image, by crop, flip, colour and small rotations, are to be
nearer to each other than to views of other images, by a margin.

  python -m sslprune_jax.main --config=configs/exemplar.py:cifar10

After the colon: `digits`, `fashion_mnist`, `cifar10`, `imagenet2012`.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("exemplar", dataset)
