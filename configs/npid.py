"""Masks found without labels: prune while telling every image from all (NPID).

An image is to be nearer to its own row of a memory bank than to the rows of
other images. The accuracy, logged after each epoch, is that of the class that
the 200 nearest rows of the bank vote for. ImageNet: the paper's recipe
(supplement 6.4) with 16,384 negatives; CIFAR-10: Wu et al. 2018.

  python -m sslprune_jax.main --config=configs/npid.py:cifar10

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
  return recipes.study("npid", dataset)
