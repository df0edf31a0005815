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

Result for cifar10 and imagenet2012: not run. For digits, one seed, 16 s on 2
CPU cores beside other work (commit f1fd2ad, JAX 0.10.2):

  python -m sslprune_jax.main --config=configs/npid.py:digits \
    --workdir=runs/npid --config.seeds='(0,)' --config.prune.rounds=2 \
    --config.retrain.rounds='()'
  python benchmarks/features.py runs/npid

  test accuracy of features    random network         dense   64 % remain
  linear, 10 images a class       83.7 ± 0.8    92.1 ± 0.2    90.5 ± 0.6
  linear, all images                    93.3          98.6          96.9
  vote of 20 neighbours                 93.3          96.9          96.1

Fashion-MNIST ran from end to end with --config.train.duration=1ep (11 min 42 s
beside other work). After 3 epochs of 256 images an update its features were
below a random network's (77.9 against 80.1, linear on all images): so many
images want more epochs than a CPU has. With the recipe as it is: not measured.
"""

from sslprune_jax import recipes


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  return recipes.study("npid", dataset)
