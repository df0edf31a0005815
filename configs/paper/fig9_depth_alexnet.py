"""Figure 9 (F9): figure 4 with AlexNet: conv1, to conv3, to conv5, all.

On ImageNet with AlexNet's recipes; on CIFAR-10, whose images AlexNet does not
take, VGG-19 by stage (ours); on the small sets AlexNet of an eighth of the
width on images enlarged to 64 x 64.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig9_depth_alexnet.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 7,900 v5e chip-hours for imagenet2012 and 490 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, recipes, variants

_ALEXNET = {"conv1": 1, "conv3": 3, "conv5": 5, "all": 0}
_VGG19 = {"stage1": 2, "stage2": 4, "stage3": 8, "stage4": 12, "all": 0}


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig9_depth_alexnet", dataset)
  depths = _VGG19 if dataset == "cifar10" else _ALEXNET
  for depth, first_layers in depths.items():
    for task in ("labels", "rotnet"):
      if dataset == "imagenet2012":
        study = recipes.alexnet(task)
      else:
        study = paper.study(task, dataset)
        study.model.name = "vgg19" if dataset == "cifar10" else "alexnet"
      paper.narrow(study, "alexnet", width=0.125, size=64)
      study.prune.first_layers = first_layers
      study.retrain.inits = ("rewind", "reinit")
      if task == "labels":
        study.retrain.inits += ("random",)
      variants.add(config, f"{task}_{depth}", study)
  return config
