"""Figure 4 (F4): from which depth on do tickets of RotNet fall behind?

Only the first n convolutions are pruned, and retrained on labels as winning
tickets and with random re-init, beside random masks of these layers: of
ResNet-50 by stage (ImageNet), of ResNet-18 by stage (CIFAR-10, ours), of the
convnet one by one. Remaining weights are those of the pruned layers.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig4_depth.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 36,000 v5e chip-hours for imagenet2012 and 680 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants

# Convolutions up to the end of the stem and of each stage; 0: all.
_DEPTHS = {
  "imagenet2012": {
    "stem": 1,
    "stage1": 10,
    "stage2": 22,
    "stage3": 40,
    "all": 0,
  },
  "cifar10": {"stem": 1, "stage1": 5, "stage2": 9, "stage3": 13, "all": 0},
  "fashion_mnist": {"conv1": 1, "conv2": 2, "conv3": 3, "all": 0},
  "digits_half": {"conv1": 1, "conv2": 2, "conv3": 3, "all": 0},
  "digits": {"conv1": 1, "conv2": 2, "conv3": 3, "all": 0},
}


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig4_depth", dataset)
  for depth, first_layers in _DEPTHS[dataset].items():
    for task in ("labels", "rotnet"):
      study = paper.study(task, dataset)
      study.prune.first_layers = first_layers
      study.retrain.inits = ("rewind", "reinit")
      if task == "labels":
        study.retrain.inits += ("random",)
      variants.add(config, f"{task}_{depth}", study)
  return config
