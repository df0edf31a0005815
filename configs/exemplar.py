"""Masks found without labels: prune while telling images apart (Exemplar).

Views of an image, by crop, flip, colour and small rotations, are to be nearer
to each other than to views of other images, by a margin (triplets). The paper's
recipes, supplement 6.4.

  python -m sslprune_jax.main --config=configs/exemplar.py:cifar10

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
  return recipes.study("exemplar", dataset)
