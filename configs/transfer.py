"""Is a small backbone still good for another task? Transfer of pruned networks.

RotNet and Labels are trained and pruned on one data set; the networks of some
rounds, and an untrained one, are then judged on others.

  python -m sslprune_jax.main --config=configs/transfer.py:fashion_mnist

or, of networks that a study has trained already, what `get_config` names under
`transfer`, without training anything but the classifiers:

  python -m sslprune_jax.transfer --config=configs/transfer.py:fashion_mnist \
    --ticket=runs/transfer_fashion_mnist/seed_0/rotnet/round_16
"""

from sslprune_jax import recipes


def get_config(dataset="fashion_mnist"):
  """Returns the configuration of a data set to pre-train on."""
  config = recipes.study("rotnet", dataset)
  config.name = f"transfer_{dataset}"
  config.tasks = ("rotnet", "labels")
  config.retrain.rounds = ()
  transfer = config.transfer
  if dataset == "fashion_mnist":
    config.seeds = (0, 1, 2)
    config.dataset.train = "train[:20000]"
    config.rotnet.copies = 1
    config.train.update(duration="2ep", batch_size=128)
    config.prune.update(rounds=16, rewind="50it")
    transfer.rounds = (0, 3, 6, 8, 10, 12, 14, 16)
    transfer.layers = ("features", "stage4")
    transfer.protocols = (
      "linear:fashion_mnist:0.01",
      "linear:digits:0.1",
      "finetune:fashion_mnist:0.01",
      "finetune:digits:0.1",
      "prune:fashion_mnist:0.01",
      "prune:digits:0.1",
    )
    # For 600 and 144 images.
    transfer.linear.train.update(
      duration="100ep",
      batch_size=64,
      learning_rate=0.1,
      milestones=("30ep", "60ep", "90ep"),
    )
    transfer.finetune.train.update(
      duration="300it",
      batch_size=32,
      learning_rate=0.05,
      milestones=("150it", "225it"),
    )
  elif dataset == "digits":
    config.prune.rounds = 4
    transfer.rounds = (0, 2, 4)
    transfer.protocols = ("linear:digits", "knn:digits", "svm:digits")
  return config
