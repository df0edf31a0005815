"""Figure 6 (F6): how sparse is a network before any pruning?

The weights that training itself drove to zero, by three thresholds (exactly 0,
machine precision, 1e-5), their histogram, and what that does to pruning: label
masks and random masks, plain and adjusted. ResNet-18 on CIFAR-10, which the
paper finds 80.3 % sparse, and on ImageNet, whose networks are not, with that
set's stem: one network on two sets; on the small sets ResNet-18 of a quarter of
the width, on Labels.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig6_natural_sparsity.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon cifar10), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 3,500 v5e chip-hours for imagenet2012 and 150 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig6_natural_sparsity", dataset)
  for task in ("labels", "rotnet")[: 2 if dataset in paper.PAPER else 1]:
    study = paper.study(task, dataset)
    if dataset == "imagenet2012":
      study.model.update(name="resnet18", stem="imagenet")
    paper.narrow(study, "resnet18", width=0.25, size=8)
    variants.add(config, task, paper.natural_sparsity(study, task))
  return config
