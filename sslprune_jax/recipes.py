"""The paper's recipes (supplement 6.4), and ours for sets that run on a CPU.

`study(task, dataset)` is the whole configuration of one task on one data set;
what a file of `configs/` adds is its name and its documentation.
"""

from ml_collections import ConfigDict

from sslprune_jax import config as config_lib

# The paper reports 14 remaining rates between 80 % and 0.1 % without listing
# them; these rounds span that range. 0 is the dense network.
REPORTED_ROUNDS = (0, 1, 3, 5, 7, 9, 10, 12, 14, 16, 18, 20, 22, 25, 30)

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
RECIPES = {
  ("labels", "cifar10"): _CIFAR,
  ("rotnet", "cifar10"): _CIFAR,
  ("labels", "imagenet2012"): _IMAGENET,
  ("rotnet", "imagenet2012"): _IMAGENET
  | {"learning_rate": 1.0, "weight_decay": 1e-5, "warmup": "5ep"},
  ("labels", "fashion_mnist"): _FASHION,
  ("rotnet", "fashion_mnist"): _FASHION,
  ("labels", "digits"): _DIGITS,
  ("rotnet", "digits"): _DIGITS,
}
_STUDIES = {
  # data set: (model, seeds, rewind, rounds, retrained rounds)
  "cifar10": ("resnet18", 6, "1ep", 30, REPORTED_ROUNDS),
  "imagenet2012": ("resnet50", 3, "3840000samples", 30, REPORTED_ROUNDS),
  "fashion_mnist": ("convnet", 1, "1ep", 3, (0, 3)),
  "digits": ("convnet", 2, "1ep", 18, (0, 4, 8, 12, 15, 18)),
}


def study(task: str, dataset: str) -> ConfigDict:
  """Returns the configuration of a task's study on a data set.

  Args:
    task: "labels" or "rotnet".
    dataset: "digits", "fashion_mnist", "cifar10" or "imagenet2012".

  Returns:
    A locked configuration; masks are retrained by the recipe of Labels.

  Raises:
    ConfigError: there is no such recipe.
  """
  if (task, dataset) not in RECIPES:
    known = tuple(name for of, name in RECIPES if of == task)
    raise config_lib.ConfigError(
      f"configs/{task}.py:{dataset}: found {dataset!r} after the colon, "
      f"expected one of {known}"
    )
  model, seeds, rewind, rounds, retrained = _STUDIES[dataset]
  config = config_lib.base()
  config.name = f"{task}_{dataset}"
  config.seeds = tuple(range(seeds))
  config.tasks = (task,)
  config.dataset.update(config_lib.dataset(dataset))
  config.model.name = model
  config.train.update(config_lib.recipe(**RECIPES[task, dataset]))
  config.retrain.train.update(config_lib.recipe(**RECIPES["labels", dataset]))
  config.prune.update(rewind=rewind, rounds=rounds)
  config.retrain.rounds = retrained
  return config
