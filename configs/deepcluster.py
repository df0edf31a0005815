"""Masks found without labels: prune while predicting clusters (DeepCluster).

Every epoch clusters the features of the masked network anew. Sobel filters
stand in front of the network, in retraining too. `metrics.jsonl` has an event
an epoch: inertia, entropy of the cluster sizes, empty clusters, and the mutual
information with the epoch before and with the labels. Recipe: Caron et al.
2018, for ImageNet VGG-16 and 10,000 clusters.

  python -m sslprune_jax.main --config=configs/deepcluster.py:cifar10

After the colon: `digits` and `fashion_mnist` (small networks, minutes on a CPU)
or `cifar10` and `imagenet2012` (ResNet-18 and VGG-16, 30 rounds, 6 and 3
seeds). The set must be prepared by TFDS under --config.dataset.data_dir or
~/tensorflow_datasets.

Result for cifar10 and imagenet2012: not run. What its features are worth on
digits and Fashion-MNIST, and which settings were tried: docs/sweeps.md.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("deepcluster", dataset)
