"""Preflight: what a study costs on a TPU, before one is rented."""

import importlib

# Names and their modules, loaded on first use: --help needs no JAX.
_MODULES = {"TopologyError": "chips", "estimate_cost": "costs"}


def __getattr__(name: str):
  if name in _MODULES:
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
