"""Finds small subnetworks in self-supervised convnets, in JAX.

A reimplementation of "Pruning Convolutional Neural Networks with
Self-Supervision" (Caron et al. 2020, arXiv 2001.03554).

What people who import the package need is here, and is loaded when it is asked
for: a configuration loads no JAX. Half of the weights of a layer of your own
network are pruned, and the rest is trained under the mask, by:

  >>> import flax.linen as nn, jax, jax.numpy as jnp, numpy as np
  >>> import sslprune_jax as ssl
  >>> from sslprune_jax.tasks.labels import Labels
  >>> from sslprune_jax.training import optimizer, step
  >>> class Plain(nn.Module):
  ...   @nn.compact
  ...   def __call__(self, x, train):
  ...     x = nn.relu(nn.Dense(32, name="hidden")(x.reshape(len(x), -1)))
  ...     return {"logits": nn.Dense(10, name="out")(x)}
  >>> rng = np.random.default_rng(0)
  >>> images = rng.integers(0, 256, (1, 64, 8, 8, 1), np.uint8)  # of a device
  >>> order = np.arange(64, dtype=np.int32)[None]
  >>> batch = {"image": images, "label": order % 10, "index": order}
  >>> drawn = Plain().init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), False)
  >>> params = drawn["params"]
  >>> dense = ssl.masks.dense(params, lambda name: name == "hidden/kernel")
  >>> scores = ssl.magnitude_scores(params, dense)
  >>> kept = ssl.prune(scores, dense, 0.5, rng)
  >>> task = Labels(num_outputs=10, augment=lambda keys, x: x,
  ...               normalise=lambda x: x / 255)
  >>> sgd = optimizer.optimizer("sgd", weight_decay=1e-4)
  >>> rate = optimizer.schedule("constant", 0.1, length=50)
  >>> update = step.pmap(ssl.make_step(Plain(), task, sgd, rate))
  >>> state = ssl.create_state({"params": params, "batch_stats": {}}, kept, sgd,
  ...                          jax.random.key(1))
  >>> for _ in range(50):
  ...   state, metrics = update(state, batch)
  >>> bool(metrics["loss"] < 1), ssl.masks.density(kept)
  (True, 0.5)
  >>> hidden = state.params["hidden"]["kernel"]
  >>> bool((hidden[~kept["hidden"]["kernel"]] == 0).all())
  True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from sslprune_jax.config import figures as paper
  from sslprune_jax.config import recipes, variants
  from sslprune_jax.features import clustering
  from sslprune_jax.models import build as build_network
  from sslprune_jax.preflight.costs import estimate_cost
  from sslprune_jax.pruning import masks, tickets
  from sslprune_jax.pruning.magnitude import magnitude_scores, prune
  from sslprune_jax.pruning.tickets import Ticket
  from sslprune_jax.pruning.tickets import load as load_ticket
  from sslprune_jax.pruning.tickets import save as save_ticket
  from sslprune_jax.report import write_report
  from sslprune_jax.runtime.errors import (
    ConfigError,
    LostFileError,
    UserError,
  )
  from sslprune_jax.study.run import run
  from sslprune_jax.training.state import TrainState
  from sslprune_jax.training.state import create as create_state
  from sslprune_jax.training.step import make_step
  from sslprune_jax.transfer import knn, precision, svm

__all__ = [
  "ConfigError",
  "LostFileError",
  "Ticket",
  "TrainState",
  "UserError",
  "__version__",
  "build_network",
  "clustering",
  "create_state",
  "estimate_cost",
  "knn",
  "load_ticket",
  "magnitude_scores",
  "make_step",
  "masks",
  "paper",
  "precision",
  "prune",
  "recipes",
  "run",
  "save_ticket",
  "svm",
  "tickets",
  "variants",
  "write_report",
]

__version__ = "0.1.0"

# Where each name lies: a module, or "module:name" of one.
_PLACES = {
  "ConfigError": "runtime.errors:ConfigError",
  "LostFileError": "runtime.errors:LostFileError",
  "Ticket": "pruning.tickets:Ticket",
  "TrainState": "training.state:TrainState",
  "UserError": "runtime.errors:UserError",
  "build_network": "models:build",
  "clustering": "features.clustering",
  "create_state": "training.state:create",
  "estimate_cost": "preflight.costs:estimate_cost",
  "knn": "transfer.knn",
  "load_ticket": "pruning.tickets:load",
  "magnitude_scores": "pruning.magnitude:magnitude_scores",
  "make_step": "training.step:make_step",
  "masks": "pruning.masks",
  "paper": "config.figures",
  "precision": "transfer.precision",
  "prune": "pruning.magnitude:prune",
  "recipes": "config.recipes",
  "run": "study.run:run",
  "save_ticket": "pruning.tickets:save",
  "svm": "transfer.svm",
  "tickets": "pruning.tickets",
  "variants": "config.variants",
  "write_report": "report:write_report",
}


def __getattr__(name: str) -> Any:
  if name not in _PLACES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module, _, attribute = _PLACES[name].partition(":")
  found: Any = importlib.import_module(f"{__name__}.{module}")
  found = getattr(found, attribute) if attribute else found
  globals()[name] = found  # Asked for once.
  return found


def __dir__() -> list[str]:
  return sorted(__all__)
