"""Tables of recipes: the paper's, and ours for sets that run on a CPU.

A row is what differs from `config.recipe()` and `config.base()`; `recipes` puts
them together. A new task or data set adds its rows here.

Reference: Caron et al. 2020, arXiv 2001.03554, supplement 6.4.
"""

from typing import Any

_CIFAR = {
  "duration": "160ep",
  "batch_size": 512,
  "optimizer": "adam",
  "learning_rate": 1e-3,
  "weight_decay": 1e-4,
  "milestones": ("80ep", "120ep"),
}
_IMAGENET = {
  "duration": "90ep",
  "batch_size": 1536,
  "learning_rate": 0.1,
  "weight_decay": 1e-4,
  "milestones": ("50ep", "65ep", "80ep"),
}
_IMAGENET_FEW: dict[str, Any] = {
  "duration": "200ep",
  "batch_size": 768,
  "warmup": "5ep",
  "milestones": ("140ep", "160ep", "180ep"),
}
_FASHION = {  # Ours: short enough for a CPU.
  "duration": "3ep",
  "batch_size": 256,
  "optimizer": "adam",
  "learning_rate": 2e-3,
  "weight_decay": 1e-4,
  "schedule": "cosine",
}
_DIGITS = {  # Ours.
  "duration": "10ep",
  "batch_size": 128,
  "optimizer": "adam",
  "learning_rate": 4e-3,
  "weight_decay": 1e-4,
  "schedule": "cosine",
}
_PHOTOS = {  # Ours: for some hundred to some ten thousand photos.
  "duration": "100ep",
  "batch_size": 64,
  "optimizer": "adam",
  "learning_rate": 1e-3,
  "weight_decay": 1e-4,
  "schedule": "cosine",
  "warmup": "2ep",
}
_NPID_CIFAR = {  # Wu et al.'s code; the paper runs NPID on ImageNet only.
  "duration": "200ep",
  "batch_size": 128,
  "learning_rate": 0.03,
  "weight_decay": 5e-4,
  "milestones": ("120ep", "160ep"),
}
_DEEPCLUSTER = {  # Caron et al. 2018.
  "duration": "200ep",
  "batch_size": 256,
  "learning_rate": 0.05,
  "weight_decay": 1e-5,
  "schedule": "constant",
}
# Linear classifiers on frozen features of ResNet-50, and what differs for
# AlexNet (Goyal et al. 2019's code, fair_self_supervision_benchmark).
PROBE = {
  "batch_size": 256,
  "learning_rate": 0.01,
  "nesterov": True,
  "weight_decay": 1e-4,
}
PROBES_OF = {"alexnet": {"nesterov": False, "weight_decay": 5e-4}}
# Their length, by the code that it is of; and as a share of it on Places205.
PROBE_LENGTHS = {
  "fair": {
    "duration": "140000it",
    "milestones": ("40000it", "80000it", "120000it"),
  },
  "vissl": {"duration": "28ep", "milestones": ("8ep", "16ep", "24ep")},
}
PLACES_SHARE = {"fair": 1.0, "vissl": 0.5}
# (task or selection of labels, data set) -> fields of `config.train`.
RECIPES: dict[tuple[str, str], dict[str, Any]] = {
  ("labels", "cifar10"): _CIFAR,
  ("rotnet", "cifar10"): _CIFAR,
  ("s4l", "cifar10"): _CIFAR,
  ("exemplar", "cifar10"): _CIFAR
  | {"duration": "180ep", "learning_rate": 3e-4, "milestones": ("120ep",)},
  ("npid", "cifar10"): _NPID_CIFAR,
  ("deepcluster", "cifar10"): _DEEPCLUSTER,
  ("labels", "imagenet2012"): _IMAGENET,
  ("few_images", "imagenet2012"): _IMAGENET_FEW
  | {"learning_rate": 0.1, "weight_decay": 1e-3},
  ("few_classes", "imagenet2012"): _IMAGENET_FEW
  | {"learning_rate": 0.3, "weight_decay": 3e-4},
  ("rotnet", "imagenet2012"): _IMAGENET
  | {"learning_rate": 1.0, "weight_decay": 1e-5, "warmup": "5ep"},
  ("exemplar", "imagenet2012"): _IMAGENET
  | {
    "duration": "40ep",
    "learning_rate": 0.3,
    "weight_decay": 1e-5,
    "milestones": ("20ep", "30ep"),
  },
  ("npid", "imagenet2012"): {
    "duration": "150ep",
    "batch_size": 1024,
    "learning_rate": 0.03,
    "weight_decay": 1e-4,
    "schedule": "cosine",
  },
  # The paper's batch of 2048 rows: 256 images and 256 labelled ones, at four
  # angles. Its 200 epochs are of the labelled tenth: 500 updates each, as in
  # Zhai et al.'s code, whose warm-up and milestones it shares.
  ("s4l", "imagenet2012"): {
    "duration": "100000it",
    "batch_size": 256,
    "learning_rate": 0.1,
    "weight_decay": 3e-4,
    "warmup": "2500it",
    "milestones": ("70000it", "80000it", "90000it"),
  },
  ("deepcluster", "imagenet2012"): _DEEPCLUSTER,
  ("rotnet", "fashion_mnist"): _FASHION | {"batch_size": 128},
  ("exemplar", "fashion_mnist"): _FASHION
  | {"duration": "2ep", "batch_size": 128, "learning_rate": 1e-3},
  ("s4l", "fashion_mnist"): _FASHION | {"duration": "1ep", "batch_size": 64},
  ("npid", "fashion_mnist"): _FASHION
  | {"duration": "8ep", "batch_size": 128, "learning_rate": 1e-3},
  ("rotnet", "digits"): _DIGITS
  | {"duration": "20ep", "batch_size": 64, "learning_rate": 2e-3},
  ("exemplar", "digits"): _DIGITS
  | {"duration": "20ep", "batch_size": 64, "learning_rate": 2e-3},
  ("s4l", "digits"): _DIGITS | {"batch_size": 32, "learning_rate": 2e-3},
  ("npid", "digits"): _DIGITS
  | {"duration": "40ep", "batch_size": 32, "learning_rate": 1e-3},
  # A head that is new every epoch wants a rate that does not fall to 0.
  ("deepcluster", "fashion_mnist"): _FASHION | {"schedule": "constant"},
  ("deepcluster", "digits"): _DIGITS
  | {
    "duration": "20ep",
    "schedule": "constant",
    "batch_size": 32,
    "learning_rate": 2e-3,
  },
}
for _task in ("labels", "rotnet", "exemplar", "s4l", "npid", "deepcluster"):
  RECIPES[_task, "folder"] = _PHOTOS
# Of weights that were trained elsewhere; ours.
_TUNED = {"duration": "20ep", "learning_rate": 3e-4}
RECIPES["distil", "folder"] = _PHOTOS | _TUNED
# Supplement 6.4 has recipes of their own for AlexNet.
ALEXNET = {
  "labels": _IMAGENET
  | {"batch_size": 4096, "learning_rate": 0.4, "milestones": ("30ep", "60ep")},
  "rotnet": _IMAGENET
  | {
    "batch_size": 8192,
    "learning_rate": 0.5,
    "weight_decay": 1e-5,
    "warmup": "2ep",
    "milestones": ("30ep", "60ep"),
  },
  "exemplar": _IMAGENET
  | {
    "duration": "30ep",
    "batch_size": 4096,
    "learning_rate": 0.1,
    "milestones": ("20ep",),
  },
}
RECIPES["labels", "fashion_mnist"] = _FASHION
RECIPES["labels", "digits"] = _DIGITS
for _task in ("few_images", "few_classes"):  # A tenth: longer, for its updates.
  RECIPES[_task, "fashion_mnist"] = _FASHION | {"duration": "20ep"}
  RECIPES[_task, "digits"] = _DIGITS | {"duration": "30ep", "batch_size": 32}
# What differs in the paper's figures, on 10,000 images of Fashion-MNIST: task
# -> fields of `config.train`.
FIGURES_ON_FASHION = {
  "labels": {"duration": "4ep", "batch_size": 128},
  "rotnet": {"duration": "8ep"},
  "exemplar": {"duration": "4ep"},
  "npid": {"duration": "30ep"},
  "s4l": {"duration": "2ep"},
  "deepcluster": {"duration": "5ep", "batch_size": 128},
}
_COLOUR = {"jitter": (0.4, 0.4, 0.4, 0.1), "rotation": 10.0}
_BRIGHTNESS = {"jitter": (0.4, 0.4, 0.0, 0.0), "rotation": 10.0}
_WU = {"jitter": (0.4, 0.4, 0.4, 0.4), "grey": 0.2}  # Wu et al.'s code.
_CROPS = {"crop_scale": (0.3, 1.0)}
_EVERY_EPOCH = {"evaluate": "1ep"}  # The bank's neighbours: its only test.
_FEW = {"labels": {"images": 0.1}}
# What else differs from `config.base()`.
SETTINGS = {
  ("exemplar", "digits"): {"views": {**_BRIGHTNESS, **_CROPS}},
  ("exemplar", "fashion_mnist"): {"views": {**_BRIGHTNESS, **_CROPS}},
  ("exemplar", "cifar10"): {"views": _COLOUR},
  ("exemplar", "imagenet2012"): {"views": _COLOUR},
  ("npid", "digits"): {
    "log": _EVERY_EPOCH,
    "npid": {"objective": "softmax", "temperature": 0.1},
    "views": {**_BRIGHTNESS, **_CROPS},
  },
  ("npid", "fashion_mnist"): {
    "log": _EVERY_EPOCH,
    "npid": {"objective": "softmax", "temperature": 0.1},
    "views": {**_BRIGHTNESS, **_CROPS},
  },
  ("npid", "cifar10"): {
    "log": _EVERY_EPOCH,
    "npid": {"objective": "softmax", "temperature": 0.1},
    "views": {**_WU, "crop_scale": (0.2, 1.0)},
    "dataset": {"flip": False},
  },
  ("npid", "imagenet2012"): {
    "log": _EVERY_EPOCH,
    "views": _WU,
    "dataset": {"crop_scale": (0.2, 1.0)},
  },
  ("deepcluster", "digits"): {
    "deepcluster": {"clusters": 30, "components": 32},
    "model": {"sobel": True},
  },
  ("deepcluster", "fashion_mnist"): {
    "deepcluster": {"clusters": 30, "components": 32},
    "model": {"sobel": True},
    "views": _CROPS,
  },
  ("deepcluster", "cifar10"): {
    "deepcluster": {"clusters": 100},
    "model": {"sobel": True},
  },
  ("deepcluster", "imagenet2012"): {"model": {"sobel": True, "name": "vgg16"}},
  ("exemplar", "folder"): {"views": _COLOUR},
  ("npid", "folder"): {
    "npid": {"objective": "softmax", "temperature": 0.1},
    "views": _WU,
    "dataset": {"crop_scale": (0.2, 1.0)},
  },
  ("deepcluster", "folder"): {
    "train": {"schedule": "constant"},
    "deepcluster": {"clusters": 50, "components": 64},
    "model": {"sobel": True},
  },
  ("rotnet", "digits"): {"views": _CROPS},
  ("rotnet", "fashion_mnist"): {"views": _CROPS},
  **{("s4l", name): _FEW for name in ("cifar10", "imagenet2012", "folder")},
  **{
    ("s4l", name): {**_FEW, "views": _CROPS}
    for name in ("digits", "fashion_mnist")
  },
}
