"""Masks found in a folder of photos of yours, with labels or without.

One subfolder a class, or splits (train, test) that hold them; without labels
any folder. Images are read at 64 x 64 and shown as random crops:
--config.dataset.image_size=128, up to 224, for more detail. ResNet-18 with
ImageNet's stem, 100 epochs a round, 8 rounds of 20 %, one seed; RotNet unless
another task stands after the colon: labels, exemplar, npid, s4l, deepcluster.

  python -m sslprune_jax.main --config=configs/folder.py \
    --config.dataset.data_dir=photos
  python -m sslprune_jax.main --config=configs/folder.py:npid \
    --config.dataset.data_dir=photos

With labels masks are retrained on them, and the features of pruned networks are
judged by neighbours and by a linear classifier. Without labels a study ends at
the pruned networks, and says how to judge them by images that have some.

The recipes are ours; result: not measured.
"""

from sslprune_jax import recipes


def get_config(task="rotnet"):
  """Returns the configuration of a task."""
  config = recipes.study(task, "folder")
  config.model.stem = "imagenet"
  recipes.judge_folder(config, "knn", "linear")
  config.transfer.rounds = config.retrain.rounds
  return config
