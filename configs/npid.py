"""Masks found without labels: prune while every image is told from all (NPID).

An image is to be nearer to its own row of a memory bank than to the rows of
other images. The accuracy that is logged after each epoch, and reported, is of
the class that the 200 nearest rows of the bank vote for.

  python -m sslprune_jax.main --config=configs/npid.py:cifar10

After the colon: `digits`, `fashion_mnist`, `cifar10`, `imagenet2012`.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("npid", dataset)
