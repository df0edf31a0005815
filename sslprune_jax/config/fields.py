"""The configuration of a study: defaults, data presets, recipes.

A config in `configs/` calls `base()` and sets what differs. Every field is set
on the command line too: `--config.prune.rounds=3`. A duration is a string with
its unit: "90ep" (epochs), "500it" (updates), "3840000samples" (images seen).
"""

import re
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config import durations
from sslprune_jax.runtime.errors import ConfigError

INITS = ("rewind", "reinit", "random", "adjusted")
PROTOCOLS = ("linear", "svm", "knn", "finetune", "prune")
# Of the VOC07 protocol (Goyal et al. 2019): 0.01 to 1000, and 0.5^4 to 0.5^19.
SVM_COSTS = (
  *(0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0),
  *(0.5**power for power in range(4, 20)),
)


_PRESETS = {
  "digits": {"image_size": 8, "channels": 1, "padding": 1},
  "fashion_mnist": {"image_size": 28, "channels": 1, "padding": 2},
  "cifar10": {"image_size": 32},
  "imagenet2012": {"image_size": 224, "test": "validation"},
  "places205": {"image_size": 224, "test": "validation"},
  "voc2007": {
    "name": "voc/2007",
    "image_size": 224,
    "train": "train+validation",
  },
  "folder": {"image_size": 64},
}
TARGETS = tuple(_PRESETS)


def base() -> ConfigDict:
  """Returns the configuration that every study starts from.

  Returns:
    A locked ConfigDict: unknown fields are refused.
  """
  config = ConfigDict()
  config.name = "study"  # the default workdir is runs/<name>
  config.figure = ""  # of the paper, that the report draws
  config.profile = 0  # runs of each training to trace, for TensorBoard
  # Studies that differ from this one: name -> the fields that differ. They are
  # run in its place, each in a folder of its name.
  config.variants = ConfigDict()
  config.seeds = (0,)
  config.tasks = ("labels",)  # the tasks whose masks are compared
  config.dataset = dataset("digits")
  config.model = ConfigDict(
    {
      "name": "convnet",
      "width": 1.0,  # factor of the channels of every layer
      "outputs": 0,  # of the label head; 0: as many as there are classes
      "dtype": "float32",  # of the compute; weights are always float32
      "batch_norm": "device",  # statistics per "device" or over all: "global"
      "sobel": False,  # fixed edge filters in front, as for DeepCluster
      "remat": False,  # compute blocks of layers twice, to save memory
    }
  )
  # Which images are labelled, for the tasks labels and s4l.
  config.labels = ConfigDict(
    {
      "images": 1.0,  # share of the images of each class
      "classes": 1.0,  # share of the classes
    }
  )
  config.rotnet = ConfigDict({"copies": 4})  # angles an image: all 4, or 1
  config.exemplar = ConfigDict(
    {
      "views": 2,  # of each image in a batch
      "embedding": 128,  # width
      "margin": 0.5,  # of the cosine distance
      "mining": "semi-hard",  # or "batch-hard"
    }
  )
  config.npid = ConfigDict(
    {
      "embedding": 128,  # width
      "temperature": 0.07,
      "momentum": 0.5,  # share of the old row of the bank in the new one
      "objective": "nce",  # or "softmax" over the whole bank
      "negatives": 16384,  # of "nce", an update
      "normaliser": "ema",  # Z of "nce"; or that of the "first" batch
      "neighbours": 200,  # that vote on a test image
    }
  )
  config.s4l = ConfigDict({"rotation_weight": 1.0})
  config.deepcluster = ConfigDict(
    {
      "clusters": 10000,
      "components": 256,  # of the PCA before k-means
      "iterations": 20,  # of k-means
      "start": "random",  # of k-means; or "k-means++"
      "distances": "float32",  # dtype in which k-means compares; "bfloat16"
    }
  )
  config.train = recipe()
  config.prune = ConfigDict(
    {
      "rate": 0.2,  # of the *remaining* weights, each round
      "rounds": 3,
      "scope": "global",  # rank "global"ly, or within each "layer"
      "first_layers": 0,  # prune only the first n layers; 0: all
      "rewind": "1ep",  # k: where W_k is taken in the dense training
      "schedule": "continue",  # the schedule goes on from k, or "restart"s
    }
  )
  config.retrain = ConfigDict(
    {
      "rounds": (0, 3),  # whose masks are retrained on labels; 0: dense
      "inits": INITS[:3],
      "fraction": 1.0,  # of the labelled images of each class
      "train": recipe(),
    }
  )
  config.transfer = _transfer()
  config.log = ConfigDict(
    {
      "every": "50it",
      "checkpoint": "1000it",
      "evaluate": "0it",  # how often while training; never
    }
  )
  return config.lock()


def _transfer() -> ConfigDict:
  """Returns how trained networks are judged on other data."""
  return ConfigDict(
    {
      # Protocol, target and, if not all, the share of its training images of
      # each class: ("svm:voc2007", "finetune:imagenet2012:0.01").
      "protocols": (),
      "rounds": (0, 3),  # whose trained networks are transferred; 0: dense
      "random": True,  # an untrained network too, for comparison
      "layers": ("features",),  # that linear, svm and knn read; "stage3", ...
      "batch_size": 256,  # in which features are extracted
      "targets": {name: _target(name) for name in TARGETS},
      "linear": {
        "augment": False,  # False: on features that are extracted once
        "train": recipe(
          duration="28ep",
          batch_size=256,
          learning_rate=0.01,
          nesterov=True,
          weight_decay=5e-4,
          milestones=("8ep", "16ep", "24ep"),
        ),
      },
      "svm": {"costs": SVM_COSTS},
      "knn": {"neighbours": 200, "temperature": 0.07},
      # All weights; "prune" prunes while it does, round by round.
      "finetune": {
        # A ticket is trained for one "round", or as long as pruning during
        # transfer takes to come as far: the "total" of its rounds.
        "epochs": "round",
        "train": recipe(
          duration="90ep",
          learning_rate=0.01,
          milestones=("50ep", "65ep", "80ep"),
        ),
      },
    }
  )


def _target(name: str) -> ConfigDict:
  """Returns what a target has of its own; the rest is the network's input."""
  fields = ("name", "data_dir", "train", "test", "resident", "flip")
  preset = dataset(name)
  target = {field: preset[field] for field in fields}
  # Factor of the duration of transfer.linear.train: Goyal et al. 2019 train
  # half as many epochs on Places205.
  return ConfigDict(target | {"linear": 0.5 if name == "places205" else 1.0})


def recipe(**fields: Any) -> ConfigDict:
  """Returns the recipe of one training, with some fields set.

  `learning_rate` is the rate for this `batch_size`, used as it is.
  """
  return ConfigDict(
    {
      "duration": "10ep",
      "batch_size": 128,  # images an update, over all devices
      "optimizer": "sgd",
      "learning_rate": 0.1,
      "momentum": 0.9,
      "nesterov": False,
      "weight_decay": 1e-4,  # coupled (L2), with Adam too
      "schedule": "step",
      "warmup": "0it",
      "milestones": (),  # durations at which "step" decays
      "decay": 0.1,
    }
    | fields
  ).lock()


def dataset(name: str) -> ConfigDict:
  """Returns the preset of a data set.

  Args:
    name: "digits", "cifar10", "fashion_mnist", "imagenet2012", "places205",
      "voc2007" or "folder" (of images, one subfolder a class). Other TFDS sets:
      set the fields.

  Returns:
    The `dataset` section.

  Raises:
    ConfigError: there is no preset of this name.
  """
  means = {
    "digits": ((0.305,), (0.376,)),
    "fashion_mnist": ((0.286,), (0.353,)),
    "cifar10": ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)),
  }
  if name not in _PRESETS:
    raise ConfigError(
      f"dataset: found {name!r}, expected one of {tuple(_PRESETS)}"
    )
  # Of pixels in [0, 1]; ImageNet's serve colour images in general.
  mean, std = means.get(name, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
  large = name in ("imagenet2012", "places205", "voc2007", "folder")
  return ConfigDict(
    {
      "name": name,
      "data_dir": "",  # TFDS's folder, or the folder of images
      "train": "train",  # splits
      "test": "test",
      "image_size": 32,
      "channels": 3,
      "mean": mean,
      "std": std,
      # The set lives on the devices; otherwise images are decoded as they are
      # needed, each to a random resized crop.
      "resident": not large,
      "workers": 16,  # threads that decode
      "padding": 0 if large else 2,  # of the random crop
      "flip": name != "digits",
      # Shares of the area of random resized crops on the device, such as
      # (0.2, 1.0); streamed images are cropped so as they are decoded.
      "crop_scale": (),
      "rotation": 0.0,  # degrees, to either side, bilinear
      # Strengths of brightness, contrast, saturation and hue.
      "jitter": (0.0, 0.0, 0.0, 0.0),
      "grey": 0.0,  # probability
    }
    | _PRESETS[name]
  ).lock()


def network_name(model: ConfigDict) -> str:
  """Names a network as results do: "resnet18", or "resnet18 x 0.25"."""
  return model.name + (f" x {model.width:g}" if model.width != 1 else "")


def lookup(config: ConfigDict, field: str) -> Any:
  """Returns the value of a field named with dots, `train.milestones[0]` too."""
  value = config
  for part in re.findall(r"[^.\[\]]+", field):
    value = value[int(part)] if part.isdigit() else value[part]
  return value


def updates(config: ConfigDict, field: str, **of_training: int) -> int:
  """Converts the duration in a field to updates; errors name the field.

  Args:
    config: the configuration.
    field: its name, with dots.
    **of_training: `batch_size`, `num_images` and `reads` of
      `durations.to_updates`.
  """
  try:
    return durations.to_updates(lookup(config, field), **of_training)
  except (TypeError, ValueError) as error:
    raise ConfigError(f"config.{field}: {error}") from None


def resolved(config: ConfigDict) -> dict[str, Any]:
  """Returns what results depend on as JSON values, tuples as lists."""
  values = _plain(config.to_dict())
  values.pop("profile", None)
  return values


def _plain(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, (tuple, list)):
    return [_plain(item) for item in value]
  return value
