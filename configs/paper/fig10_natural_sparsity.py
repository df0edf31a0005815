"""Figure 10 (F10): figure 6 with the paper's other networks.

VGG-19 on CIFAR-10, which the paper finds 84.5 % sparse, and AlexNet on
ImageNet; on the small sets VGG-19 of an eighth of the width, on Labels (digits
at 16 x 16).

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig10_natural_sparsity.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon cifar10), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 2,200 v5e chip-hours for imagenet2012 and 110 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig10_natural_sparsity", dataset)
  for task in ("labels", "rotnet")[: 2 if dataset in paper.PAPER else 1]:
    study = paper.other_network(task, dataset)
    variants.add(config, task, paper.natural_sparsity(study, task))
  return config
