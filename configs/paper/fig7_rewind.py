"""Figure 7 and table 1 (F7): where should weights be rewound to?

Tickets of a tenth of the labels, rewound by four criteria: the same number of
epochs, of samples, or of updates as Labels on everything rewinds to, or the
same share of the whole training.

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig7_rewind.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 7,800 v5e chip-hours for imagenet2012 and 130 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, recipes, variants

_IMAGES = {
  "imagenet2012": 1_281_167,
  "cifar10": 50_000,
  "fashion_mnist": 10_000,  # that the small study reads
  "digits_half": 896,
  "digits": 1_438,
}


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig7_rewind", dataset)
  few = paper.study("labels", dataset, "few_images")
  criteria = recipes.rewinds(few, config, _IMAGES[dataset])
  for criterion, rewind in criteria.items():
    study = few.copy_and_resolve_references()
    study.prune.rewind = rewind
    study.retrain.inits = ("rewind", "reinit")
    variants.add(config, criterion, study)
  return config
