"""Supervised masks: prune a network while it is trained on labels.

  python -m sslprune_jax.main --config=configs/labels.py:cifar10
  python -m sslprune_jax.main --config=configs/labels.py:few_images
  python -m sslprune_jax.main --config=configs/labels.py:few_classes,digits

After the colon: `digits` and `fashion_mnist` (small networks, minutes on a CPU)
or `cifar10` and `imagenet2012` (the paper's recipes, supplement 6.4: ResNet-18
and ResNet-50, 30 rounds, 6 and 3 seeds). The set must be prepared by TFDS under
--config.dataset.data_dir or ~/tensorflow_datasets. `few_images` is a tenth of
the images of each class, `few_classes` all images of a tenth of the classes, or
of sets of ten classes a third of the images of three; of ImageNet, unless a set
is named too. The list of images is saved with the run as
seed_<n>/labelled_labels.json.

Result for few_images, few_classes, cifar10 and imagenet2012: not run. For
fashion_mnist: README, "What was measured".
"""

from sslprune_jax import recipes

_FEW = ("few_images", "few_classes")


def get_config(which="cifar10"):
  """Returns the configuration of a data set, or of a few labels of one."""
  words = which.split(",")
  few = next((word for word in words if word in _FEW), None)
  sets = [word for word in words if word not in _FEW]
  default = "imagenet2012" if few else "cifar10"
  return recipes.study("labels", ",".join(sets) or default, few)
