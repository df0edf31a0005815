"""Channels of a network: which slices of its arrays can only go together.

They are read off the network's jaxpr: indices of axes are tied by what the
primitives do with them, and what is tied goes together. So a user's network
needs no table; what it does that no rule knows is frozen, and said.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import primitives
from sslprune_jax.pruning.ties import Labels, Ties, stays
from sslprune_jax.runtime.trees import Tree, named_leaves

_PARAMS = "params/"


@dataclasses.dataclass(frozen=True)
class Group:
  """Channels of one kind: each is the same number of slices of each array.

  Attributes:
    size: number of channels.
    members: `{(name, axis): i[size, k]}`, the indices of an axis of an array of
      `{"params", "batch_stats"}` that go with each channel; k is above 1 where
      images of channels were flattened.
    writers: names of the trunk's kernels that make the channels, each with its
      last axis; not of depthwise convolutions, which pass them on.
  """

  size: int
  members: dict[tuple[str, int], np.ndarray]
  writers: dict[str, int] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """Name of the first kernel that makes the channels."""
    return next(iter(self.writers))

  @property
  def is_stream(self) -> bool:
    """Whether several layers add to the channels: a residual stream."""
    return len(self.writers) > 1

  @property
  def trunk(self) -> dict[tuple[str, int], np.ndarray]:
    """The members among the trunk's params, named as in trees of params."""
    return {
      (name.removeprefix(_PARAMS), axis): indices
      for (name, axis), indices in self.members.items()
      if name.startswith(_PARAMS + "trunk/")
    }


@dataclasses.dataclass(frozen=True)
class Channels:
  """The channels of a network.

  Attributes:
    groups: groups that the trunk writes, in forward order.
    frozen: name of each kernel of the trunk whose outputs are in no group ->
      the reason.
  """

  groups: Sequence[Group]
  frozen: Mapping[str, str]


def find(
  apply: Callable[[Tree, jax.Array], jax.Array],
  variables: dict[str, Tree],
  image_shape: tuple[int, int, int],
) -> Channels:
  """Finds the channels of a network; it is traced, and not run.

  Args:
    apply: `(variables, images f32[B,H,W,C]) -> logits f32[B,K]`, in evaluation
      mode: statistics that are updated, and endpoints that are given out, could
      never go.
    variables: `{"params", "batch_stats"}`, arrays or shapes.
    image_shape: (H, W, C).

  Returns:
    The groups, and what is in none.
  """
  images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
  traced = jax.make_jaxpr(apply)(variables, images)
  (logits,) = traced.out_avals
  chex.assert_rank(logits, 2, custom_message="logits")
  ties = Ties()
  axes = {
    name: [ties.axis(n) for n in leaf.shape]
    for name, leaf in named_leaves(variables).items()
  }
  read = [*axes.values(), stays(images.shape)]
  for labels in sum(primitives.run(ties, traced.jaxpr, read), []):
    ties.freeze(labels, "the network gives them out")
  channel, first = ties.components()
  of = {
    (name, axis): channel[labels]
    for name, parts in axes.items()
    for axis, labels in enumerate(parts)
  }
  outputs = [
    (name, len(parts) - 1)
    for name, parts in axes.items()
    if masks_lib.why_kept(name.removeprefix(_PARAMS)) is None
  ]
  depthwise = {labels[0] for labels in ties.grouped}
  groups = _gather(of, first)
  for group in groups:
    group.writers.update(
      (name.removeprefix(_PARAMS), axis)
      for name, axis in outputs
      if (name, axis) in group.members and axes[name][axis][0] not in depthwise
    )
  groups = [group for group in groups if group.writers]
  frozen = {k for k in outputs if not any(k in g.members for g in groups)}
  reasons = ties.reasons(channel)
  return Channels(
    groups,
    {
      name.removeprefix(_PARAMS): _why(of[name, axis], reasons)
      for name, axis in sorted(frozen)
    },
  )


def of_network(
  network: Any,
  variables: dict[str, Tree],
  image_shape: tuple[int, int, int],
) -> Channels:
  """Finds the channels of a network of `models.build`; see `find`.

  Args:
    network: network whose head may read its channels one by one.
    variables: `{"params", "batch_stats"}`, arrays or shapes.
    image_shape: (H, W, C).
  """

  def apply(variables, images):
    return network.apply(variables, images, train=False)["logits"]

  return find(apply, variables, image_shape)


def of_trunk(
  network: Any,
  variables: dict[str, Tree],
  image_shape: tuple[int, int, int],
) -> Channels:
  """Finds the channels of a trunk, whatever head reads its features.

  Args:
    network: network from `models.without_head`.
    variables: its `{"params", "batch_stats"}`, arrays or shapes; heads in them
      are left out.
    image_shape: (H, W, C).
  """

  def apply(variables, images):
    features = network.apply(variables, images, train=False)["features"]
    return features @ jnp.ones((features.shape[-1], 1))  # A linear head's.

  trunk = {
    kind: {k: v for k, v in tree.items() if k == "trunk"}
    for kind, tree in variables.items()
  }
  return find(apply, trunk, image_shape)


def _why(channels: Labels, reasons: Mapping[int, str]) -> str:
  """Says why none of the channels i[n] of an axis can go."""
  found = [reasons[c] for c in channels.tolist() if c in reasons]
  return found[0] if found else "nothing reads them"


def _gather(of: Mapping[tuple[str, int], Labels], first: Labels) -> list[Group]:
  """Gathers channels that are as many slices of the same arrays.

  Args:
    of: the channel i[n] that each index of an axis is of, by name and axis.
    first: place i[A] of each channel in forward order; -1 where it cannot go.
  """
  part, parts = np.zeros(len(first), int), 1  # 0: in no array.
  for channels in of.values():  # Each parts those that differ in it.
    found, counts = np.unique(channels, return_counts=True)
    lives = first[found] >= 0
    found, counts = found[lives], counts[lives]
    kinds = part[found] * (counts.max(initial=0) + 1) + counts
    _, kind = np.unique(kinds, return_inverse=True)
    part[found] = parts + kind
    parts += len(found)

  lives = np.flatnonzero(part)
  lives = lives[np.argsort(first[lives])]
  names, start = np.unique(part[lives], return_index=True)
  row = np.zeros(len(first), int)
  groups = {}
  for name in names[np.argsort(start)]:  # In forward order.
    channels = lives[part[lives] == name]
    row[channels] = np.arange(len(channels))
    groups[name] = Group(len(channels), {})
  for key, channels in of.items():
    parts_here = part[channels]
    for name in np.unique(parts_here[parts_here > 0]):
      at = np.flatnonzero(parts_here == name)
      at = at[np.argsort(row[channels[at]], stable=True)]
      groups[name].members[key] = at.reshape(groups[name].size, -1)
  return list(groups.values())
