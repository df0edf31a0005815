"""Is a small backbone still good for another task? Transfer of pruned networks.

Networks are trained and pruned on one data set; those of some rounds, and an
untrained one, are then judged on other data: by a linear classifier, SVMs or
neighbours on frozen features, or by fine-tuning all that remains, pruned
before or while it is fine-tuned (the paper's figures 1 and 2).

  python -m sslprune_jax.main --config=configs/transfer.py:fashion_mnist

or, of networks that a study has trained already, the transfers alone:

  python -m sslprune_jax.transfer --config=configs/transfer.py:digits \
    --ticket=runs/quickstart/seed_0/rotnet/round_12

After the colon, with the recipes of paper.md and of Goyal et al. 2019 for
ImageNet: `digits` and `fashion_mnist` (small networks, minutes on a CPU),
`imagenet2012` (RotNet's ResNet-50 to VOC2007 by SVMs, by fine-tuning and by
pruning meanwhile, and to ImageNet's labels), `places205` (to Places205),
`few_labels` (fine-tuning on 1 % and 10 % of ImageNet's labels). Linear
classifiers are trained for 140,000 updates, as in Goyal et al.'s code; with
`imagenet2012,vissl` for 28 epochs, and 14 on Places205. VOC2007 is to
be prepared by TFDS; Places205 lies where its authors' two archives were
unpacked, --config.transfer.targets.places205.data_dir.

Result for imagenet2012, places205 and few_labels: not run. For fashion_mnist:
README, "What was measured".
"""

from sslprune_jax import recipes
from sslprune_jax.config import ConfigError


def get_config(which="fashion_mnist"):
  """Returns a configuration by name, perhaps with the length of probes."""
  name, _, length = which.partition(",")
  if name not in _VARIANTS:
    raise ConfigError(
      f"configs/transfer.py:{name}: found {name!r} after the colon, expected "
      f"one of {tuple(_VARIANTS)}"
    )
  dataset, adapt = _VARIANTS[name]
  config = recipes.study("rotnet", dataset)
  config.name = f"transfer_{name}"
  config.retrain.rounds = ()
  if dataset == "imagenet2012":
    recipes.set_probe(config, length or "fair")
  adapt(config)
  return config


def _digits(config):
  config.tasks = ("rotnet", "labels")
  config.prune.rounds = 4
  config.transfer.rounds = (0, 2, 4)
  config.transfer.protocols = ("linear:digits", "knn:digits", "svm:digits")


def _fashion_mnist(config):
  config.tasks = ("rotnet", "labels")
  config.seeds = (0, 1, 2)
  config.dataset.train = "train[:20000]"
  config.train.update(duration="2ep", batch_size=128)
  config.prune.update(rounds=16, rewind="50it")
  config.transfer.rounds = (0, 3, 6, 8, 10, 12, 14, 16)
  config.transfer.layers = ("features", "stage3")
  config.transfer.protocols = (
    "linear:fashion_mnist:0.01",
    "linear:digits:0.1",
    "finetune:fashion_mnist:0.01",
    "finetune:digits:0.1",
    "prune:fashion_mnist:0.01",
    "prune:digits:0.1",
  )
  # For 600 and 145 images.
  config.transfer.linear.train.update(
    duration="100ep",
    batch_size=64,
    learning_rate=0.1,
    milestones=("30ep", "60ep", "90ep"),
  )
  config.transfer.finetune.train.update(
    duration="300it",
    batch_size=32,
    learning_rate=0.05,
    milestones=("150it", "225it"),
  )


def _imagenet2012(config):
  config.transfer.rounds = recipes.REPORTED_ROUNDS
  config.transfer.protocols = (
    "svm:voc2007",
    "finetune:voc2007",
    "prune:voc2007",
    "linear:imagenet2012",
  )
  config.transfer.linear.augment = True


def _places205(config):
  config.transfer.rounds = recipes.REPORTED_ROUNDS
  config.transfer.protocols = ("linear:places205",)
  config.transfer.linear.augment = True


def _few_labels(config):
  config.transfer.rounds = recipes.REPORTED_ROUNDS
  config.transfer.protocols = (
    "finetune:imagenet2012:0.01",
    "finetune:imagenet2012:0.1",
  )
  config.transfer.finetune.train.update(
    duration="70ep",
    batch_size=256,
    learning_rate=0.01,
    nesterov=True,
    weight_decay=0.0,
    milestones=("30ep",),
  )


_VARIANTS = {
  "digits": ("digits", _digits),
  "fashion_mnist": ("fashion_mnist", _fashion_mnist),
  "imagenet2012": ("imagenet2012", _imagenet2012),
  "places205": ("imagenet2012", _places205),
  "few_labels": ("imagenet2012", _few_labels),
}
