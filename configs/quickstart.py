"""Placeholder."""

from sslprune_jax import recipes


def get_config():
  config = recipes.study("labels", "digits")
  config.name = "quickstart"
  config.tasks = ("labels", "rotnet")
  config.retrain.fraction = 0.2
  return config
