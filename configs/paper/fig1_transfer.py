"""Figure 1 (F1): do the features of pruned networks transfer?

The final features of networks that are pruned on Labels, RotNet, Exemplar and
NPID, frozen, are judged by the VOC07 SVM, and by linear classifiers on
Places205 and ImageNet (Goyal et al. 2019). On the other sets, ours: linear
classifiers on few labels, of an earlier layer too.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig1_transfer.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 6,100 v5e chip-hours for imagenet2012 and 130 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, recipes, variants

_TASKS = {
  "imagenet2012": ("labels", "rotnet", "exemplar", "npid"),
  "cifar10": ("labels", "rotnet", "exemplar"),
  "fashion_mnist": ("labels", "rotnet", "exemplar"),
  "digits_half": ("labels", "rotnet", "exemplar", "npid"),
  "digits": ("labels", "rotnet", "exemplar", "npid"),
}


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig1_transfer", dataset)
  for task in _TASKS[dataset]:
    study = paper.study(task, dataset)
    if task == "npid":  # The paper prunes NPID no further than about 10 %.
      study.prune.rounds = min(study.prune.rounds, 10)
    study.transfer.rounds = tuple(
      r for r in study.retrain.rounds if r <= study.prune.rounds
    )
    study.retrain.rounds = ()
    study.transfer.random = task == "labels"  # The same for all.
    _judge(study, dataset)
    variants.add(config, task, study)
  return config


def _judge(study, dataset):
  transfer = study.transfer
  if dataset == "imagenet2012":
    transfer.protocols = (
      "svm:voc2007",
      "linear:places205",
      "linear:imagenet2012",
    )
    transfer.linear.augment = True
    recipes.set_probe(study)
    return
  # RotNet of a small set learns before the last layer: docs/sweeps.md.
  last = "stage4" if dataset == "cifar10" else "stage3"
  transfer.layers = ("features", last)
  transfer.protocols = {
    "cifar10": ("linear:cifar10",),
    "fashion_mnist": ("linear:fashion_mnist:0.06", "linear:digits_half:0.16"),
    "digits_half": ("linear:digits_half:0.16", "svm:digits_half:0.16"),
    "digits": ("linear:digits:0.1", "svm:digits:0.1"),
  }[dataset]
  transfer.svm.costs = (0.01, 0.1, 1.0, 10.0, 100.0)  # Of 26, for time.
  if dataset != "cifar10":  # For 600 and 145 images.
    transfer.linear.train.update(
      duration="100ep",
      batch_size=64,
      learning_rate=0.1,
      milestones=("30ep", "60ep", "90ep"),
    )
