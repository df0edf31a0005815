"""ResNets with batch norm folded, of which some layers are sparse matrices."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from flax import linen as nn
from jax.experimental import sparse

from sslprune_jax.models import layers as layers_lib
from sslprune_jax.pruning import magnitude, tickets
from sslprune_jax.pruning import masks as masks_lib

_EPSILON = 1e-5  # batch norm's


@dataclasses.dataclass(frozen=True)
class Layer:
  """A convolution that batch norm is folded into.

  Attributes:
    kernel: f32[k,k,I,O].
    bias: f32[O].
    stride: stride.
  """

  kernel: np.ndarray
  bias: np.ndarray
  stride: int

  @property
  def matrix(self) -> np.ndarray:
    """The kernel as f32[O,k*k*I], what a product with windows takes."""
    return np.ascontiguousarray(
      self.kernel.reshape(-1, self.kernel.shape[-1]).T
    )

  def weights(self, is_sparse: bool) -> tuple[Any, jax.Array]:
    """Returns what `convolve` takes."""
    if is_sparse:
      rows = scipy.sparse.csr_array(self.matrix)
      parts = map(jnp.asarray, (rows.data, rows.indices, rows.indptr))
      matrix = sparse.BCSR(tuple(parts), shape=rows.shape)
      return matrix, jnp.asarray(self.bias)
    is_point = self.kernel.shape[0] == 1
    kernel = self.matrix if is_point else self.kernel
    return jnp.asarray(kernel), jnp.asarray(self.bias)


def fold(ticket: tickets.Ticket) -> dict[str, Layer]:
  """Folds batch norm of a ResNet into its convolutions.

  Args:
    ticket: ticket of a ResNet, padded as PyTorch pads.

  Returns:
    The stem and the convolutions of the blocks, such as `stage1/block1/conv2`,
    in their order.
  """

  def read(params, stats, stride):
    norm, of = params["bn"], stats["bn"]
    factor = norm["scale"] / np.sqrt(of["var"] + _EPSILON)
    return Layer(
      np.asarray(params["conv"]["kernel"] * factor, np.float32),
      np.asarray(norm["bias"] - of["mean"] * factor, np.float32),
      stride,
    )

  params, stats = (ticket.variables[k]["trunk"] for k in ticket.variables)
  is_small = params["stem"]["conv"]["kernel"].shape[0] == 3
  found = {"stem": read(params["stem"], stats["stem"], 1 if is_small else 2)}
  for stage in sorted(params.keys() - {"stem"}):
    for block in sorted(params[stage], key=lambda name: int(name[5:])):
      own = params[stage][block]
      halves = block == "block1" and stage != "stage1"
      first = next(n for n in sorted(own) if _side(own[n]) == 3)
      for name in sorted(own):
        stride = 2 if halves and name in (first, "shortcut") else 1
        at = stats[stage][block][name]
        found[f"{stage}/{block}/{name}"] = read(own[name], at, stride)
  return found


def _side(params):
  return params["conv"]["kernel"].shape[0]


def convolve(
  weights: tuple[Any, jax.Array], x: jax.Array, side: int, stride: int
) -> jax.Array:
  """Convolves activations.

  Args:
    weights: matrix f32[O,k*k*C], sparse or not, or a kernel f32[k,k,C,O]; and
      the bias f32[O].
    x: f32[C,B,H,W].
    side: k, 1 or 3.
    stride: stride.

  Returns:
    f32[O,B,H',W'].
  """
  kernel, bias = weights
  channels, batch, height, width = x.shape
  rows, columns = -(-height // stride), -(-width // stride)
  if kernel.ndim == 4:
    y = jax.lax.conv_general_dilated(
      x, kernel, (stride, stride), [(side // 2, side // 2)] * 2,
      dimension_numbers=("CNHW", "HWIO", "CNHW"),
    )  # fmt: skip
    return y + _spread(bias)
  pad = side // 2
  padded = jnp.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
  windows = [
    padded[
      :, :,
      i : i + (rows - 1) * stride + 1 : stride,
      j : j + (columns - 1) * stride + 1 : stride,
    ].reshape(channels, -1)
    for i in range(side) for j in range(side)
  ]  # fmt: skip
  y = kernel @ (jnp.concatenate(windows) if pad else windows[0])
  return y.reshape(-1, batch, rows, columns) + _spread(bias)


def _spread(bias):
  return bias[:, None, None, None]


def make_forward(
  layers: dict[str, Layer],
  head: dict[str, np.ndarray],
  are_sparse: Collection[str],
) -> tuple[Callable[..., jax.Array], Any]:
  """Makes a network of which some layers are sparse.

  Args:
    layers: layers from `fold`.
    head: kernel f32[F,K] and bias f32[K].
    are_sparse: names of the layers that are.

  Returns:
    A function of weights and images f32[B,H,W,C] to logits f32[B,K], and its
    weights.
  """
  stem, blocks = layers["stem"], {}
  for name in list(layers)[1:]:
    block, own = name.rsplit("/", 1)
    blocks.setdefault(block, []).append(own)

  def forward(weights, images):
    x = jax.lax.conv_general_dilated(
      images, weights["stem"][0], (stem.stride,) * 2,
      [(stem.kernel.shape[0] // 2,) * 2] * 2,
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    x = nn.relu(x + weights["stem"][1][None, None, None])
    if stem.stride == 2:
      x = layers_lib.max_pool(x, padding=1)
    x = x.transpose(3, 0, 1, 2)
    for block, names in blocks.items():

      def run(name, x, block=block):
        at = f"{block}/{name}"
        side, stride = layers[at].kernel.shape[0], layers[at].stride
        return convolve(weights[at], x, side, stride)

      y = x
      *inner, last = [name for name in names if name != "shortcut"]
      for name in inner:
        y = nn.relu(run(name, y))
      y = run(last, y)
      x = nn.relu(y + (run("shortcut", x) if "shortcut" in names else x))
    features = x.mean((2, 3)).T
    kernel, bias = weights["head"]["kernel"], weights["head"]["bias"]
    return features @ kernel + bias[None]

  weights = {n: own.weights(n in are_sparse) for n, own in layers.items()}
  return forward, weights | {"head": jax.tree.map(jnp.asarray, head)}


def draw_uniform(ticket: tickets.Ticket, density: float) -> tickets.Ticket:
  """Draws weights at random of one density in every kernel of the blocks."""
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    name = "/".join(key.key for key in path)
    if not name.startswith("trunk/stage") or not name.endswith("/kernel"):
      return leaf
    scale = (2 / density / np.prod(leaf.shape[:-1])) ** 0.5
    drawn = scale * rng.standard_normal(leaf.shape, np.float32)
    return drawn * (rng.random(leaf.shape) < density)

  params = jax.tree_util.tree_map_with_path(draw, ticket.params)
  return dataclasses.replace(ticket, params=params)


def cut(ticket: tickets.Ticket, density: float) -> tickets.Ticket:
  """Prunes weights of least magnitude, ranked together, at once."""
  scores = magnitude.magnitude_scores(ticket.params, ticket.masks)
  rng = np.random.default_rng(0)
  masks = magnitude.prune_to(scores, ticket.masks, density, rng)
  params = jax.device_get(masks_lib.apply(masks, ticket.params))
  return dataclasses.replace(ticket, masks=masks, params=params)
