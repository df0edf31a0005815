"""Masks found without labels: prune while predicting clusters (DeepCluster).

Every epoch clusters the features of the masked network anew. Sobel filters
stand in front of the network, in retraining too. metrics.jsonl has an event an
epoch: inertia, entropy of the cluster sizes, empty clusters, and the mutual
information with the epoch before and with the labels.

  python -m sslprune_jax.main --config=configs/deepcluster.py:cifar10

After the colon: `digits`, `fashion_mnist`, `cifar10`, `imagenet2012`.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("deepcluster", dataset)
