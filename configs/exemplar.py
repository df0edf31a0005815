"""Masks found without labels: prune while telling images apart (Exemplar).

Views of an image, by crop, flip, colour and small rotations, are to be nearer
to each other than to views of other images, by a margin (triplets). The paper's
recipes, supplement 6.4.

  python -m sslprune_jax.main --config=configs/exemplar.py:cifar10

After the colon: `digits` and `fashion_mnist` (small networks, minutes on a CPU)
or `cifar10` and `imagenet2012` (ResNet-18 and ResNet-50,
30 rounds, 6 and 3 seeds). The set must be prepared by TFDS under
--config.dataset.data_dir or ~/tensorflow_datasets.

Result for cifar10 and imagenet2012: not run. For digits, one seed, 10 s on 2
CPU cores beside other work (commit 83b19a3, JAX 0.10.2):

  python -m sslprune_jax.main --config=configs/exemplar.py:digits \
    --workdir=runs/exemplar --config.seeds='(0,)' --config.prune.rounds=2 \
    --config.retrain.rounds='()'
  python benchmarks/features.py runs/exemplar

  test accuracy of features    random network         dense   64 % remain
  linear, 10 images a class       83.7 ± 0.8    90.6 ± 0.3    90.7 ± 0.8
  linear, all images                    93.3          97.2          96.9
  vote of 20 neighbours                 93.3          97.2          95.8
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("exemplar", dataset)
