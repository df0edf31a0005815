"""A network in a checkpoint, held against ours -> a ticket."""

import dataclasses
import functools
import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from sslprune_jax import config as config_lib
from sslprune_jax import models
from sslprune_jax.config.datasets import FIELDS
from sslprune_jax.exchange import layouts
from sslprune_jax.exchange.layouts import Layout, Source
from sslprune_jax.exchange.names import Found
from sslprune_jax.exchange.tensors import CheckpointError, Tensor
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning.tickets import Ticket
from sslprune_jax.runtime.trees import Tree, from_names, named_leaves

# Sides of the images of such networks, in pixels; small is CIFAR's.
_LARGE, _SMALL, _MOST = 224, 32, 4096
HEADS = ("fc.", "classifier.", "top_layer.")  # Left where they do not fit.
MASK = "weight_mask"  # Last part of the name of a mask beside its weight.


@dataclasses.dataclass(frozen=True)
class Input:
  """What a file of weights does not say: how its network sees images.

  Attributes:
    size: side of the images, in pixels; 0: 224, or 32 behind a small stem.
    mean: mean of each channel, of pixels in [0, 1].
    std: standard deviation of each channel.
    bgr: whether the network reads blue first; mean and std are of red first.
    stem_padding: padding of a ResNet's first convolution, in pixels; -1: half
      its kernel.
  """

  size: int = 0
  mean: tuple[float, ...] = FIELDS["mean"].default
  std: tuple[float, ...] = FIELDS["std"].default
  bgr: bool = False
  stem_padding: int = -1


def make_ticket(
  found: Found, layout: Layout, seen: Input, masks: Mapping[str, Tensor]
) -> Ticket:
  """Makes the ticket of a network.

  Args:
    found: the network, by torchvision's names.
    layout: source of each of our parameters.
    seen: size and normalisation of its images.
    masks: masks by torchvision's names of the layers; of those that are not
      there the file's own, or full ones.

  Returns:
    The ticket; its meta lacks the task and the source.

  Raises:
    CheckpointError: names a parameter that is missing, left over, of another
      shape, or not finite.
  """
  config = _config(found, layout, seen)
  size, channels = config.dataset.image_size, config.dataset.channels
  like = _shapes(config, layout.outputs)
  read = functools.partial(_read, found, bgr=seen.bgr)
  params, batch_stats = (
    {
      name: read(name, sources.get(name), leaf.shape)
      for name, leaf in named_leaves(like.get(group, {})).items()
    }
    for group, sources in (
      ("params", layout.params),
      ("batch_stats", layout.batch_stats),
    )
  )
  _check_rest(found, layout)
  own = _masks(found, layout, params, masks, seen.bgr)
  params = {k: v * own[k] if k in own else v for k, v in params.items()}
  dense = named_leaves(masks_lib.dense(from_names(params)))
  return Ticket(
    # What is never pruned is 0 where its mask is, and has none here.
    masks=from_names(
      {k: own.get(k, bits) if bits.ndim else bits for k, bits in dense.items()}
    ),
    params=from_names(params),
    batch_stats=from_names(batch_stats),
    meta={
      "kind": "imported",
      "seed": 0,
      "round": 0,
      "image_shape": [size, size, channels],
      "config": config_lib.resolve(config),
    },
  )


def _shapes(config: ConfigDict, outputs: int) -> dict[str, Tree]:
  """Returns the shapes of our network's variables."""
  network = models.from_config(config.model, outputs or 1)
  if not outputs:
    network = models.without_head(network)
  size, channels = config.dataset.image_size, config.dataset.channels
  images = jax.ShapeDtypeStruct((1, size, size, channels), np.float32)
  try:
    return jax.eval_shape(
      lambda x: network.init(jax.random.key(0), x, train=False), images
    )
  except ValueError as error:  # Too small for its strides.
    raise CheckpointError(str(error)) from None


def _masks(
  found: Found,
  layout: Layout,
  params: Mapping[str, np.ndarray],
  masks: Mapping[str, Tensor],
  bgr: bool,
) -> dict[str, np.ndarray]:
  """Returns the masks that a file has, by the name of our parameter."""
  sources = {
    name: source
    for name, source in layout.params.items()
    if source.leaf == "weight"
  }
  lost = min(masks.keys() - {s.name for s in sources.values()}, default="")
  if lost:
    raise CheckpointError(f"mask of {lost}: found no such layer in the network")
  own = {}
  for name, source in sources.items():
    mask = masks.get(source.name) or found.tensors.get(f"{source.name}.{MASK}")
    if mask is None:
      continue
    bits = layouts.turn(mask.read(), source, bgr)
    if bits.shape != params[name].shape or not np.isin(bits, (0, 1)).all():
      raise CheckpointError(
        f"mask of {source.name}: found the shape {mask.shape}, or numbers that "
        "are not 0 or 1, expected one of each weight"
      )
    own[name] = bits != 0
  return own


def _config(found: Found, layout: Layout, seen: Input) -> ConfigDict:
  """Returns the configuration that a ticket says its network by."""
  config = config_lib.base()
  config.dataset = config_lib.dataset("folder")
  small = layout.model.get("stem") == "small"
  size = seen.size or layout.image_size or (_SMALL if small else _LARGE)
  channels = len(seen.mean)
  if len(seen.std) != channels or not 0 < size <= _MOST:
    raise CheckpointError(
      f"found images of {size} pixels, {channels} means and {len(seen.std)} "
      f"deviations, expected at most {_MOST} pixels and as many of each"
    )
  reads = layout.model.get("sobel") or layout.channels == channels
  if not reads or (seen.bgr and layout.channels != 3):
    raise CheckpointError(
      f"found a network of {layout.channels} channels, and --mean of "
      f"{channels}{' with --bgr' if seen.bgr else ''}, expected a number a "
      "channel; three for --bgr"
    )
  config.dataset.update(
    image_size=size, mean=seen.mean, std=seen.std, channels=channels
  )
  padding = {"padding": found.padding, "stem_padding": seen.stem_padding}
  config.model.update(**layout.model, **padding)
  return config


def _read(
  found: Found,
  ours: str,
  source: Source | None,
  shape: tuple[int, ...],
  *,
  bgr: bool,
) -> np.ndarray:
  """Reads a parameter, f32 and of a shape of ours."""
  tensor = None
  if source is not None:
    theirs = f"{source.name}.{source.leaf}"
    tensor = found.tensors.get(theirs) or found.tensors.get(f"{theirs}_orig")
  if tensor is None:
    raise CheckpointError(f"{ours}: found nothing for it in the file")
  array = tensor.read()
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise CheckpointError(
      f"{found.prefix}{theirs}: found {array.dtype}, expected real numbers"
    )
  with np.errstate(over="ignore"):  # Said below.
    array = layouts.turn(array, source, bgr).astype(np.float32)
  if array.shape != shape:
    raise CheckpointError(
      f"{ours}: found {found.prefix}{theirs} of shape {tensor.shape}, which is "
      f"{array.shape} here, expected {shape}"
    )
  if not np.isfinite(array).all():
    raise CheckpointError(
      f"{found.prefix}{theirs}: found NaN, infinity or what float32 cannot "
      "hold, expected finite numbers"
    )
  if source.leaf == "running_var" and (array < 0).any():
    raise CheckpointError(
      f"{found.prefix}{theirs}: found a variance below 0, expected none"
    )
  return array


def _check_rest(found: Found, layout: Layout) -> None:
  """Refuses what stands in the trunk, and is no parameter of ours."""
  sources = [*layout.params.values(), *layout.batch_stats.values()]
  taken = {f"{source.name}.{source.leaf}" for source in sources}
  over = [
    name
    for name in found.tensors
    if re.sub("_orig$|_mask$", "", name) not in taken
    and not name.startswith(HEADS)
  ]
  for name in (*over, *found.inside):
    raise CheckpointError(
      f"{name}: found it in the trunk, and {layout.model['name']} has no such "
      "part, expected a network of known layers alone"
    )
