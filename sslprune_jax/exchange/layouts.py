"""Where each of our parameters comes from, by torchvision's names."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sslprune_jax.exchange.tensors import CheckpointError, Tensor

CONVOLUTION, DENSE, PLAIN = "convolution", "dense", "plain"
_FIRST = ("conv1", "features.0")  # Convolutions that see the image.
_LEAVES = {
  "weight": "scale",
  "bias": "bias",
  "running_mean": "mean",
  "running_var": "var",
}


@dataclasses.dataclass(frozen=True)
class Source:
  """Where a parameter of ours comes from.

  Attributes:
    name: torchvision's name, without `.weight` and so on.
    leaf: the rest of it.
    kind: what is turned round: "convolution", "dense" or "plain".
    grid: height and width of what a dense layer reads, flattened; 0: no grid.
  """

  name: str
  leaf: str
  kind: str = PLAIN
  grid: int = 0


@dataclasses.dataclass(frozen=True)
class Layout:
  """A network of ours, and where its variables come from.

  Attributes:
    model: fields of `config.model`.
    image_size: side of the images that it takes, where its dense layers fix it
      (others may be as they like): the published one, 224.
    channels: channels that its first convolution reads.
    params: our name -> source.
    batch_stats: our name -> source.
    outputs: outputs of its head; 0 without.
  """

  model: dict[str, Any]
  image_size: int
  channels: int
  params: dict[str, Source]
  batch_stats: dict[str, Source]
  outputs: int


class Builder:
  """Collects the sources of a layout."""

  def __init__(self, tensors: Mapping[str, Tensor]):
    self.tensors = tensors
    self.params: dict[str, Source] = {}
    self.batch_stats: dict[str, Source] = {}

  def conv(self, ours: str, theirs: str, *, bias: bool = False) -> None:
    """Adds a convolution, and its bias where ours has one."""
    self.params[f"trunk/{ours}/conv/kernel"] = Source(
      theirs, "weight", CONVOLUTION
    )
    if bias:
      self.params[f"trunk/{ours}/conv/bias"] = Source(theirs, "bias")

  def norm(self, ours: str, theirs: str) -> None:
    """Adds a batch norm."""
    for leaf, name in _LEAVES.items():
      where = self.batch_stats if leaf.startswith("running") else self.params
      where[f"trunk/{ours}/bn/{name}"] = Source(theirs, leaf)

  def dense(self, ours: str, theirs: str, grid: int = 0) -> None:
    """Adds a dense layer, which may read a flattened grid."""
    self.params[f"{ours}/kernel"] = Source(theirs, "weight", DENSE, grid)
    self.params[f"{ours}/bias"] = Source(theirs, "bias")

  def shape(self, theirs: str) -> tuple[int, ...]:
    """Returns the shape of a layer's weight.

    Raises:
      CheckpointError: there is none, or it holds no number.
    """
    tensor = self._weight(theirs)
    if tensor is None:
      raise CheckpointError(f"{theirs}.weight: found none, expected it")
    if 0 in tensor.shape:
      raise CheckpointError(
        f"{theirs}.weight: found the shape {tensor.shape}, expected no 0 in it"
      )
    return tensor.shape

  def head(self, theirs: str) -> int:
    """Adds the head, if there is a linear one; returns its outputs."""
    weight = self._weight(theirs)
    if weight is None or f"{theirs}.bias" not in self.tensors:
      return 0
    self.dense("head", theirs)
    return weight.shape[0]

  def _weight(self, theirs: str) -> Tensor | None:
    """Returns a layer's weight, or what stands for it beside a mask."""
    weight = self.tensors.get(f"{theirs}.weight")
    return self.tensors.get(f"{theirs}.weight_orig", weight)


def turn(array: np.ndarray, source: Source, bgr: bool) -> np.ndarray:
  """Turns an array of PyTorch's layout to ours.

  Args:
    array: their array, of any shape: what does not fit is told by its own.
    source: place of it.
    bgr: whether the network reads blue first.
  """
  if source.kind == CONVOLUTION and array.ndim == 4:
    array = array.transpose(2, 3, 1, 0)
    if bgr and source.name in _FIRST:
      array = array[:, :, ::-1]
  elif source.kind == DENSE:
    if array.ndim == 4:  # A convolution over the whole grid, as timm has it.
      array = array.transpose(2, 3, 1, 0)
    elif source.grid and array.ndim == 2:
      grid = (source.grid, source.grid)
      channels = array.shape[1] // source.grid**2
      if array.shape[1] == channels * source.grid**2:
        array = array.reshape(-1, channels, *grid).transpose(2, 3, 1, 0)
    else:
      array = array.T
    array = array.reshape(-1, array.shape[-1])
  return np.ascontiguousarray(array)


def turn_back(array: np.ndarray, source: Source) -> np.ndarray:
  """Turns an array of ours to PyTorch's layout: what `turn` undoes.

  Args:
    array: our array.
    source: place of it in PyTorch's network.

  Returns:
    The array in rows: safetensors writes the memory behind a transposed view,
    and its shape, without a word.
  """
  if source.kind == CONVOLUTION:
    array = array.transpose(3, 2, 0, 1)
  elif source.kind == DENSE and source.grid:
    grid = (source.grid, source.grid)
    array = array.reshape(*grid, -1, array.shape[-1]).transpose(3, 2, 0, 1)
    array = array.reshape(len(array), -1)
  elif source.kind == DENSE:
    array = array.T
  return np.ascontiguousarray(array)
