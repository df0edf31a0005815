"""Protocols that judge networks on other data: a row each. No JAX.

A row says what a configuration, the plan of a study and a report need to know;
the protocol itself stands in the module that `target` names, and is loaded when
it is used. A package of yours adds its own where a configuration imports it:

  protocols.register("probe", "my_package.probe:Probe", label="My probe")
"""

import dataclasses
from typing import Any

from sslprune_jax.config.registry import Registry
from sslprune_jax.runtime.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class ProtocolRow:
  """What is known of a protocol before it is loaded.

  Attributes:
    name: text that `config.transfer.protocols` and results know it by.
    target: "module:Class" of a `transfer.base.Protocol`.
    label: name on the page.
    reads_layers: whether it judges each of `config.transfer.layers`; otherwise
      it judges the whole network.
    every_round: whether it starts from the dense network and prunes by itself,
      through every round up to the last that is asked for.
    whole_images: whether it sees images of another size whole, and not their
      centre.
    several_labels: whether an image may show several classes.
    reads_labels: whether it judges by the labels of the target.
    drawn_with: name of the protocol that it shares axes with; "" for its own.
    curve: name of its curve, where several protocols share axes.
  """

  name: str
  target: str
  label: str
  reads_layers: bool = False
  every_round: bool = False
  whole_images: bool = False
  several_labels: bool = False
  reads_labels: bool = True
  drawn_with: str = ""
  curve: str = ""


_FINETUNING = "sslprune_jax.transfer.finetune:FineTuning"
# In the order in which a report shows them.
PROTOCOLS: Registry[ProtocolRow] = Registry(
  "protocol",
  (
    ProtocolRow(
      "linear",
      "sslprune_jax.transfer.linear:Linear",
      "Linear classifier",
      reads_layers=True,
    ),
    ProtocolRow(
      "svm",
      "sslprune_jax.transfer.svm:SVM",
      "Linear SVMs, the VOC07 protocol",
      reads_layers=True,
      whole_images=True,
      several_labels=True,
    ),
    ProtocolRow(
      "knn",
      "sslprune_jax.transfer.knn:Neighbours",
      "Vote of the nearest neighbours",
      reads_layers=True,
    ),
    ProtocolRow(
      "finetune",
      _FINETUNING,
      "Fine-tuning",
      several_labels=True,
      curve="pruned in pre-training",
    ),
    ProtocolRow(
      "prune",
      _FINETUNING,
      "Fine-tuning",
      every_round=True,
      several_labels=True,
      drawn_with="finetune",
      curve="pruned in transfer",
    ),
    ProtocolRow(
      "fidelity",
      "sslprune_jax.transfer.fidelity:Fidelity",
      "Fidelity to the network of config.start",
      reads_layers=True,
      several_labels=True,
      reads_labels=False,
    ),
  ),
)


def register(
  name: str, target: str, label: str = "", **attributes: Any
) -> None:
  """Adds a protocol; the same one may be added again.

  Args:
    name: identifier, which files and fields are named by.
    target: "module:Class" of a `transfer.base.Protocol`; loaded when used.
    label: name on the page; `name` by default.
    **attributes: other attributes of its `ProtocolRow`.

  Raises:
    ConfigError: the name is taken, or `target` has another form.
  """
  PROTOCOLS.register(ProtocolRow(name, target, label or name, **attributes))


def find(name: str) -> ProtocolRow:
  """Returns the row of a protocol.

  Args:
    name: name of a row.

  Raises:
    ConfigError: there is none; never another protocol's row.
  """
  if name not in PROTOCOLS:
    raise ConfigError(
      f"config.transfer.protocols: found the protocol {name!r}, expected one "
      f"of {tuple(PROTOCOLS)}"
    )
  return PROTOCOLS[name]
