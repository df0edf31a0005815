"""The network that a study starts from, where it is not drawn.

`config.start` names a ticket, or a checkpoint of anybody. What it says of its
network and of the images that this was trained on, the configuration takes from
it, or agrees with.
"""

import reprlib
from collections.abc import Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from sslprune_jax import models
from sslprune_jax.config import every_field, from_json
from sslprune_jax.exchange.importing import Imported, read_start
from sslprune_jax.pruning import tickets
from sslprune_jax.pruning.tickets import TicketError
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.training import state

# What a network is, of the section `config.model`; the rest is how it is run.
_NETWORK = (
  *("name", "width", "stem", "stem_padding", "padding", "sobel"),
  "kept",
)
_INPUT = ("image_size", "channels", "mean", "std")
# What a network has kept is long.
_WORDS = reprlib.Repr()
_WORDS.maxstring = 80


def load(
  config: ConfigDict, image_shape: tuple[int, int, int]
) -> Imported | None:
  """Returns the network of `config.start`, held against ours; None without one.

  Args:
    config: configuration of a study, fitted.
    image_shape: (H, W, C).

  Raises:
    ConfigError: names the array, what was found and what was expected.
  """
  if not config.start:
    return None
  found = read_start(config.start)
  network = models.from_config(config.model, 1)
  like = jax.eval_shape(
    lambda: state.initialize(network, image_shape, jax.random.key(0))
  )
  try:
    tickets.check(found.ticket, like, config.start)
  except TicketError as error:
    raise ConfigError(f"config.start: {error}") from None
  return found


def digest(config: ConfigDict) -> str:
  """Returns the SHA-256 of the file of `config.start`; "" where there is none.

  Args:
    config: configuration of a study.
  """
  return read_start(config.start).sha256 if config.start else ""


def fit(config: ConfigDict) -> tuple[ConfigDict, list[str]]:
  """Fits a configuration to the network that it starts from.

  Args:
    config: configuration of one study, not yet validated; not changed.

  Returns:
    The same with what its network and its images are like: `model.name=""`
    takes all of the network, and `dataset.image_size=0`, `channels=0`,
    `mean=()` and `std=()` each their own; and lines for the user.

  Raises:
    ConfigError: the file cannot be read, or a field that is set disagrees.
  """
  rows = every_field()
  rows["start"].rule.check("start", config.start)
  if not config.start:
    return config, []
  found = read_start(config.start)
  try:
    model = found.ticket.section("model", "name", "width", "sobel")
    dataset = found.ticket.section("dataset", *_INPUT)
  except TicketError as error:
    raise ConfigError(f"config.start: {config.start}: {error}") from None
  config = config.copy_and_resolve_references()
  # Tickets of earlier versions lack the fields that came after them.
  defaults = {k: rows[f"model.{k}"].default for k in (*_NETWORK, "batch_norm")}
  _fit_network(config, defaults | model)
  for name in _INPUT:
    theirs = from_json(dataset[name])
    if not config.dataset[name]:
      config.dataset[name] = theirs
    elif name != "image_size":  # Most networks take images of any.
      unset = "()" if isinstance(theirs, tuple) else "0"
      _expect(config, f"dataset.{name}", config.dataset[name], theirs, unset)
  return config, [f"{config.start}: {words}" for words in found.said]


def _fit_network(config: ConfigDict, theirs: Mapping[str, Any]) -> None:
  """Takes all of the network from a ticket's, or expects the same."""
  model, without = config.model, theirs["batch_norm"] == "none"
  if not model.name:
    model.update({name: theirs[name] for name in _NETWORK})
    if without:
      model.batch_norm = "none"
  for name in _NETWORK:
    _expect(config, f"model.{name}", model[name], theirs[name])
  if without != (model.batch_norm == "none"):
    _expect(config, "model.batch_norm", model.batch_norm, theirs["batch_norm"])


def _expect(
  config: ConfigDict, field: str, found: Any, theirs: Any, unset: str = ""
) -> None:
  """Refuses a field that is not as the network of `config.start` has it."""
  if found != theirs:
    takes = f"{field}={unset}" if unset else "model.name=''"
    found, theirs = _WORDS.repr(found), _WORDS.repr(theirs)
    raise ConfigError(
      f"config.{field}: found {found}, expected {theirs}, as "
      f"{config.start} has it; config.{takes} takes it from there"
    )
