"""A trunk of one network on another: what a head is drawn for."""

import jax
import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime.trees import Tree


def graft(
  drawn: dict[str, Tree],
  variables: dict[str, Tree],
  masks: masks_lib.Masks,
  *,
  own_head: bool = False,
) -> tuple[dict[str, Tree], masks_lib.Masks]:
  """Puts the trunk of any network in place of one that was drawn.

  Args:
    drawn: variables of the network, from its initializer.
    variables: variables of another one with the same trunk.
    masks: masks of the other one.
    own_head: whether its head is taken too, where it has the same arrays.

  Returns:
    Variables of the network, and their masks.
  """
  own = {"trunk"}
  heads = [tree["params"].get("head", {}) for tree in (drawn, variables)]
  shapes = [jax.tree.map(np.shape, head) for head in heads]
  if own_head and shapes[0] == shapes[1]:
    own.add("head")
  # A trunk without batch norm has no statistics to bring.
  found = {
    name: {**drawn[name], **{k: v for k, v in tree.items() if k in own}}
    for name, tree in variables.items()
  }
  masks = {**masks_lib.dense(found["params"]), "trunk": masks["trunk"]}
  return found, masks
