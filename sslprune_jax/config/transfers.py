"""Fields of the section `config.transfer`, and the costs of its SVMs."""

from sslprune_jax.config import datasets
from sslprune_jax.config.rules import (
  ABOVE_ZERO,
  NAMES,
  ROUNDS,
  TEMPERATURE,
  Field,
  Rule,
  are_distinct,
  is_number,
  number,
  one_of,
  whole,
)

# Costs of the VOC07 protocol by the code that they are of: that of Goyal et al.
# 2019 (fair_self_supervision_benchmark), and VISSL's.
SVM_COSTS = {
  "fair": (
    *(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0),
    *(0.5**power for power in range(4, 20)),
  ),
  "vissl": (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0),
}

TRANSFER = {
  "protocols": Field(
    (),
    "protocol, target and, if not all, the share of its training images of "
    "each class: ('svm:voc2007', 'finetune:imagenet2012:0.01')",
    Rule("distinct texts", lambda named: are_distinct(named, str)),
    grows=True,
  ),
  "rounds": Field(
    (0, 3),
    "rounds whose networks are transferred; 0: dense",
    ROUNDS,
    grows=True,
  ),
  "random": Field(True, "whether an untrained network is transferred too"),
  "layers": Field(
    ("features",),
    "layers that linear, svm and knn read: features, stage3, ...",
    NAMES,
  ),
  "held_out": Field(
    0.0,
    "share of the target's training images on which linear and knn judge too, "
    "by the rest of them: what a report chooses the smallest network by",
    number("a number from 0 to 0.5", lambda share: 0 <= share <= 0.5),
  ),
  "batch_size": Field(
    256, "batch in which features are extracted", whole(1), "images"
  ),
}
LINEAR = {
  "augment": Field(
    False,
    "whether images are augmented and go through the frozen trunk each time; "
    "otherwise features are extracted once",
  ),
}
SVM = {
  "costs": Field(
    ("fair",),
    "costs among which cross-validation chooses, or the name of a list: fair, "
    "vissl",
    Rule(
      f"one of {tuple((name,) for name in SVM_COSTS)}, or costs above 0, at "
      "least one",
      lambda costs: (
        isinstance(costs, (tuple, list))
        and len(costs) > 0
        and (
          (len(costs) == 1 and costs[0] in SVM_COSTS)
          or all(is_number(cost) and cost > 0 for cost in costs)
        )
      ),
    ),
  ),
}
KNN = {
  "neighbours": Field(200, "training images that vote", whole(1), "images"),
  "temperature": Field(0.07, "temperature of their votes", TEMPERATURE),
}
FIDELITY = {
  "neighbours": Field(
    10,
    "nearest images of each, of which the share that is kept counts",
    whole(1),
    "images",
  ),
}
FINETUNE = {
  "epochs": Field(
    "round",
    "how long a ticket is trained: one round, or the total of the rounds that "
    "pruning during transfer takes to come as far",
    one_of(("round", "total")),
  ),
}
# What a target has of its own; the rest is the network's input.
_OF_DATASET = ("name", "data_dir", "train", "test", "resident", "flip")
TARGET = {name: datasets.FIELDS[name] for name in _OF_DATASET} | {
  "linear": Field(
    1.0, "factor of the duration of transfer.linear.train", ABOVE_ZERO
  )
}
