"""Figure 3 (F3): are masks found without labels as good as label masks?

Masks of Labels, RotNet and Exemplar (NPID too on ImageNet, down to 10 %) are
retrained on labels as winning tickets and with random re-init, against random
masks; on CIFAR-10 and the small sets against adjusted random masks too, and on
Fashion-MNIST without Exemplar, which takes as long as the other two.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig3_masks.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 12,000 v5e chip-hours for imagenet2012 and 250 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants

_TASKS = ("labels", "rotnet", "exemplar")


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig3_masks", dataset)
  for task in _TASKS[: 2 if dataset == "fashion_mnist" else 3]:
    study = paper.study(task, dataset)
    study.retrain.inits = ("rewind", "reinit")
    if task == "labels":
      study.retrain.inits += ("random",)
      if dataset != "imagenet2012":
        study.retrain.inits += ("adjusted",)
    variants.add(config, task, study)
  if dataset == "imagenet2012":
    study = paper.study("npid", dataset)
    study.retrain.inits = ("rewind", "reinit")
    # VISSL's crops, which are the others' too: masks of all tasks are retrained
    # on the same images.
    study.dataset.crop_scale = ()
    study.prune.rounds = 10  # 10.7 %; the paper prunes NPID no further.
    study.retrain.rounds = tuple(r for r in study.retrain.rounds if r <= 10)
    variants.add(config, "npid", study)
  return config
