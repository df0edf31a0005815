"""Figure 7 and table 1 (F7): where should weights be rewound to?

Tickets of a tenth of the labels, rewound by four criteria: the same number of
epochs, of samples, or of updates as Labels on everything rewinds to, or the
same share of the whole training.
@FIG@
"""

from sslprune_jax import paper, recipes, variants

_IMAGES = {
  "imagenet2012": 1_281_167,
  "cifar10": 50_000,
  "fashion_mnist": 10_000,  # that the small study reads
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
