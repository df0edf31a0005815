"""Figure 5 (F5): are a few labels worth more than none?

Masks found (a) with the labels of a tenth of the images of each class, or (b)
with those of a tenth of the classes, alone (few) or with rotations of all
images (S4L), against masks of Labels and of RotNet on everything, all retrained
as winning tickets. The small sets have ten classes: there (b) is a third of the
images of three of them, as many labels as (a).

  python -m sslprune_jax.main --processes=2 \
    --config=configs/paper/fig5_few_labels.py:digits

After the colon: `imagenet2012` and `cifar10` with the paper's recipes (without
a colon imagenet2012), `fashion_mnist`, `digits_half` and `digits` with ours,
for two CPU cores.

Cost: 15,000 v5e chip-hours for imagenet2012 and 670 for cifar10 by the estimate
of benchmarks/paper_cost.py, whose docstring says how; neither was run. Time and
result for the small sets: docs/results.md.
"""

from sslprune_jax import paper, variants

_S4L = {"digits_half": "8ep", "digits": "5ep"}


def get_config(dataset="imagenet2012"):
  """Returns the configuration of a data set."""
  config = paper.figure("fig5_few_labels", dataset)
  for name, study in _studies(dataset):
    study.retrain.inits = ("rewind",)
    if name == "labels":
      study.retrain.inits += ("random",)
    variants.add(config, name, study)
  return config


def _studies(dataset):
  yield "labels", paper.study("labels", dataset)
  yield "rotnet", paper.study("rotnet", dataset)
  for few in ("few_images", "few_classes"):
    labelled = paper.study("labels", dataset, few)
    yield few, labelled
    s4l = paper.study("s4l", dataset)
    s4l.labels.update(labelled.labels)
    if dataset in _S4L:  # An update sees all four angles, and labels.
      s4l.train.duration = _S4L[dataset]
    yield f"s4l_{few}", s4l
