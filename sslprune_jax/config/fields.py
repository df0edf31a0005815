"""Every field of the configuration: its default, its meaning, its rule.

Those of data sets and of tasks stand with their rows, in datasets.py, tasks.py;
those of pruning in pruning.py, those of transfer in transfers.py.
"""

import dataclasses
from collections.abc import Mapping

from sslprune_jax.config import datasets, pruning, transfers
from sslprune_jax.config.rules import (
  ABOVE_ZERO,
  BELOW_ONE,
  DTYPE,
  DURATION,
  DURATIONS,
  FINITE,
  NAME,
  NAMES,
  PATH,
  ROUNDS,
  SHARE,
  Field,
  Rule,
  are_distinct,
  one_of,
  some_of,
  whole,
)
from sslprune_jax.config.tasks import TASKS
from sslprune_jax.workdir import INITS

TARGETS = tuple(datasets.DATASETS)

# JAX makes a key of the last 32 bits: seeds 0 and 2^32 would be the same one.
_SEEDS = Rule(
  "distinct whole numbers from 0 to 4294967295, at least one",
  lambda seeds: (
    are_distinct(seeds, int, 1) and 0 <= min(seeds) and max(seeds) < 2**32
  ),
)
_TOP = {
  "name": Field("study", "name of the study; its workdir is runs/<name>", PATH),
  "figure": Field(
    "",
    "figure of the paper that the report draws",
    Rule(
      f"'' or {NAME.expected}",
      lambda name: name == "" or NAME.holds(name),
    ),
  ),
  "profile": Field(
    0,
    "how many runs of each training are traced, for TensorBoard",
    whole(0),
    "runs",
    changes_bits=False,
  ),
  "seeds": Field((0,), "seeds of the study", _SEEDS, grows=True),
  "tasks": Field(("labels",), "tasks whose masks are compared", NAMES),
  "start": Field(
    "",
    "network that is trained and pruned: a ticket, or a checkpoint that "
    "sslprune import reads; '': one that is drawn",
    # Where it lies changes nothing; its digest is held against config.json's.
    changes_bits=False,
  ),
}
_MODEL = {
  "name": Field(
    "convnet",
    "name of the network: convnet, resnet18, ...; '': all of it is as "
    "config.start has it",
  ),
  "width": Field(1.0, "factor of the channels of every layer", ABOVE_ZERO),
  "stem": Field(
    "",
    "stem of a ResNet: small, 3 x 3, or imagenet, 7 x 7 and pooling; '': the "
    "network's own, small of resnet18, imagenet of resnet50",
    one_of(("", "small", "imagenet")),
  ),
  "stem_padding": Field(
    -1,
    "pixels on each side of a ResNet's first convolution; -1: half its kernel",
    whole(-1),
    "pixels",
  ),
  "padding": Field(
    "",
    "how a ResNet's convolutions that stride and its pooling are padded: same, "
    "as TensorFlow and Flax pad, where they can behind alone; '': on all sides "
    "alike, as PyTorch",
    one_of(("", "same")),
  ),
  "outputs": Field(
    0, "outputs for labels; 0: as many as there are classes", whole(0)
  ),
  "dtype": Field(
    "float32", "dtype of the compute; weights are always float32", DTYPE
  ),
  "batch_norm": Field(
    "device",
    "statistics of batch norm: per device, or global, over all of them; none: "
    "no batch norm, for VGG and AlexNet",
    one_of(("device", "global", "none")),
  ),
  "sobel": Field(
    False, "whether fixed edge filters stand in front, as for DeepCluster"
  ),
  "kept": Field(
    "", "which channels a shrunk network has kept, as its ticket says; '': all"
  ),
  "remat": Field(
    False, "whether blocks of layers are computed twice, to save memory"
  ),
}
_RECIPE = {
  "duration": Field("10ep", "length of the training", DURATION),
  "batch_size": Field(
    128, "images an update, over all devices", whole(1), "images"
  ),
  "optimizer": Field("sgd", "optimizer: sgd or adam", one_of(("sgd", "adam"))),
  "learning_rate": Field(
    0.1, "peak rate, for this batch size and used as it is", FINITE
  ),
  "momentum": Field(0.9, "momentum of sgd", BELOW_ONE),
  "nesterov": Field(False, "whether sgd's momentum is Nesterov's"),
  "weight_decay": Field(1e-4, "coupled weight decay, with adam too", FINITE),
  "schedule": Field(
    "step",
    "schedule of the learning rate: constant, step or cosine",
    one_of(("constant", "step", "cosine")),
  ),
  "warmup": Field("0it", "length of the linear warm-up", DURATION),
  "milestones": Field((), "durations after which step decays", DURATIONS),
  "decay": Field(0.1, "factor of the rate at a milestone", FINITE),
}
_RETRAIN = {
  "rounds": Field(
    (0, 3),
    "rounds whose masks are retrained on labels; 0: dense",
    ROUNDS,
    grows=True,
  ),
  "inits": Field(
    INITS[:3],
    "what retraining starts from; adjusted is of weights alone, narrow of "
    "channels",
    some_of(INITS, 0),
  ),
  "fraction": Field(1.0, "share of each class that is retrained on", SHARE),
  "head": Field(
    "new",
    "head of winning tickets of Labels on the same classes: new, or own, that "
    "of W_k; all others have a new one",
    one_of(("new", "own")),
  ),
  "schedule": Field(
    "restart",
    "whether the schedule of winning tickets of Labels on the same classes "
    "restarts, or continues from k; that of all others restarts",
    one_of(("restart", "continue")),
  ),
}
# Forms that networks are handed over in; `exchange.exporting` writes them.
EXPORT_FORMS = ("safetensors", "flax", "jax", "onnx")
_EXPORT = {
  "formats": Field(
    (),
    "forms in which networks are handed over, without the channels that are "
    "0: into the folder `export` of their round; (): none",
    some_of(EXPORT_FORMS, 0),
  ),
  "rounds": Field(
    (), "rounds whose networks are handed over; (): the last", ROUNDS
  ),
}
_LOG = {
  "every": Field("50it", "time between lines of metrics", DURATION),
  "checkpoint": Field("1000it", "time between checkpoints", DURATION),
  "evaluate": Field(
    "0it", "time between evaluations while training; 0it: none", DURATION
  ),
}
_EXPORT, _LOG = (
  {
    name: dataclasses.replace(field, changes_bits=False)
    for name, field in section.items()
  }
  for section in (_EXPORT, _LOG)
)


def tables() -> dict[str, Mapping[str, Field]]:
  """Returns the fields of every section by its dotted name; "" is the top.

  Tasks, and data sets as targets, are those that are registered by now.
  """
  return {
    "": _TOP,
    "dataset": datasets.FIELDS,
    "views": datasets.VIEWS,
    "model": _MODEL,
    **{name: row.fields for name, row in TASKS.items() if row.fields},
    "train": _RECIPE,
    "prune": pruning.FIELDS,
    "retrain": _RETRAIN,
    "retrain.train": _RECIPE,
    "transfer": transfers.TRANSFER,
    **{
      f"transfer.targets.{name}": transfers.TARGET for name in datasets.DATASETS
    },
    "transfer.linear": transfers.LINEAR,
    "transfer.linear.train": _RECIPE,
    "transfer.svm": transfers.SVM,
    "transfer.knn": transfers.KNN,
    "transfer.fidelity": transfers.FIDELITY,
    "transfer.finetune": transfers.FINETUNE,
    "transfer.finetune.train": _RECIPE,
    "export": _EXPORT,
    "log": _LOG,
  }
