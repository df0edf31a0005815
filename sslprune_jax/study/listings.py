"""Which images folders have, so that a change of them is seen."""

import hashlib
import json
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax import data
from sslprune_jax.config import protocols
from sslprune_jax.transfer.target import dataset_of


def describe(config: ConfigDict) -> dict[str, Any]:
  """Says which images a study of a folder has, so that a change is seen.

  Args:
    config: configuration of a study.

  Returns:
    Number and SHA-256 of the images of both splits, by path, size and label; {}
    of sets that do not change.
  """
  return _describe(config.dataset) if config.dataset.name == "folder" else {}


def describe_targets(config: ConfigDict) -> dict[str, dict[str, Any]]:
  """Says the same of the targets of transfers: target -> `describe` of it."""
  found = {}
  for named in config.transfer.protocols:
    protocol, target, *_ = named.split(":")
    dataset = dataset_of(config, target)
    if dataset.name == "folder" and target not in found:
      # As `Transfers` opens it, so that it is read once.
      whole = protocols.find(protocol).whole_images or dataset.resident
      found[target] = _describe(dataset, whole)
  return found


def _describe(dataset: ConfigDict, whole: bool = False) -> dict[str, Any]:
  listed = [
    data.load(data.Spec.from_config(dataset, split, whole)).listing
    for split in (dataset.train, dataset.test)
  ]
  content = json.dumps(listed).encode()
  return {
    "number": sum(map(len, listed)),
    "sha256": hashlib.sha256(content).hexdigest(),
  }
