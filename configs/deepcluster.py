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

Result for cifar10 and imagenet2012: not run. For digits, one seed, 8 s on 2 CPU
cores (commit 16f2637, JAX 0.10.2):

  python -m sslprune_jax.main --config=configs/deepcluster.py:digits \
    --workdir=runs/deepcluster --config.seeds='(0,)' --config.prune.rounds=2 \
    --config.retrain.rounds='()'
  python benchmarks/features.py runs/deepcluster

  test accuracy of features    random network         dense   64 % remain
  linear, 10 images a class       84.7 ± 1.2    95.4 ± 0.6    94.2 ± 0.6
  linear, all images                    95.8          98.1          96.1
  vote of 20 neighbours                 92.8          95.5          96.4
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("deepcluster", dataset)
