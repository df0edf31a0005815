"""Finds small subnetworks in self-supervised convnets, in JAX.

A reimplementation of "Pruning Convolutional Neural Networks with
Self-Supervision" (Caron et al. 2020, arXiv 2001.03554).
"""

import importlib

# Names that people and configurations import, and where each lies; loaded when
# they are asked for.
_MODULES = {
  "clustering": "features.clustering",
  "paper": "config.figures",
  "recipes": "config.recipes",
  "tickets": "pruning.tickets",
  "variants": "config.variants",
}


def __getattr__(name: str):
  if name in _MODULES:
    return importlib.import_module(f"{__name__}.{_MODULES[name]}")
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
