"""Figure 8 (F8): figure 3 with the paper's other networks.

VGG-19 on CIFAR-10 and AlexNet on ImageNet; on the small sets VGG-19 of an
eighth of the width, Labels and RotNet (digits are enlarged to 16 x 16, the
least that it takes).

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig8_architectures.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon cifar10), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 2,700 v5e chip-hours for imagenet2012 and 180 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants

_TASKS = ("labels", "rotnet", "exemplar")


def get_config(dataset="cifar10"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig8_architectures", dataset)
  for task in _TASKS[: 3 if dataset in paper.PAPER else 2]:
    study = paper.other_network(task, dataset)
    study.retrain.inits = ("rewind", "reinit")
    if task == "labels":
      study.retrain.inits += ("random",)
      if dataset == "cifar10":  # As the paper has it there.
        study.retrain.inits += ("adjusted",)
    variants.add(config, task, study)
  return config
