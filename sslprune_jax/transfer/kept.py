"""Features that several protocols read: extracted once, as far as they fit."""

import collections
from collections.abc import Callable, Hashable

from sslprune_jax.features.extraction import Features

_MOST = 2**29  # bytes, over all devices


class KeptFeatures:
  """The features that were asked for last; older ones give way to new ones."""

  def __init__(self, most: int = _MOST):
    """Keeps nothing yet.

    Args:
      most: bytes that are kept; features that are larger are not.
    """
    self._most = most
    self._found: collections.OrderedDict[Hashable, Features]
    self._found = collections.OrderedDict()
    self._steps: dict[str, Callable] = {}

  def step(self, layer: str, make: Callable[[], Callable]) -> Callable:
    """Returns what extracts a layer, made once: all judges share its program.

    Args:
      layer: name of the endpoint.
      make: function that makes it.
    """
    if layer not in self._steps:
      self._steps[layer] = make()
    return self._steps[layer]

  def find(self, key: Hashable) -> Features | None:
    """Returns what is kept under a key, or None."""
    if key in self._found:
      self._found.move_to_end(key)
    return self._found.get(key)

  def keep(self, key: Hashable, make: Callable[[], Features]) -> Features:
    """Returns what is kept under a key, made where nothing is.

    Args:
      key: identity of the network, the images and the layer.
      make: function that extracts them.
    """
    found = self.find(key)
    if found is None:
      found = make()
      self._found[key] = found
      while sum(each.rows.nbytes for each in self._found.values()) > self._most:
        self._found.popitem(last=False)
    return found
