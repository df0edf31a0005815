"""Which weights does training drive to zero, by the size of the images?

The dense networks of figures 6 and 10 on digits_half, ResNet-18 of a quarter
and VGG-19 of an eighth of the width, on images of 8, 16 and 32 pixels; nothing
is pruned. `python benchmarks/padding_weights.py RUN` counts weights at machine
precision, and those that multiply padding alone.

  python -m sslprune_jax.main --config=configs/image_size.py --processes=2

Result: docs/results.md, "Image size and natural sparsity".
"""

from sslprune_jax import paper, variants

_NETWORKS = {"resnet18": (0.25, (8, 16, 32)), "vgg19": (0.125, (16, 32))}


def get_config():
  """Returns the configuration."""
  config = paper.study("labels", "digits_half")
  config.name, config.seeds = "image_size", (0, 1)
  for network, (width, sizes) in _NETWORKS.items():
    for size in sizes:
      study = paper.study("labels", "digits_half")
      paper.natural_sparsity(study, "labels")
      paper.narrow(study, network, width, size)
      study.seeds = config.seeds
      study.prune.rounds, study.retrain.rounds = 0, ()
      variants.add(config, f"{network}_{size}", study)
  return config
