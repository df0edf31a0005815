"""The experiment with sparse matrices computes what a ticket's network does."""

import importlib
import pathlib

import flax.linen as nn
import jax
import numpy as np
import pytest

from sslprune_jax.models import Network, resnet
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import tickets

_BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def load(monkeypatch):
  """Imports modules of the benchmarks."""
  monkeypatch.syspath_prepend(_BENCHMARKS)
  return importlib.import_module


def _draw(bottleneck, side):
  """Draws a narrow ticket, its statistics of batch norm too."""
  stem = "imagenet" if bottleneck else "small"
  trunk = resnet.ResNet("r", (1, 1), bottleneck, stem, width=0.0625)
  network = Network(trunk.clone(name="trunk"), nn.Dense(3, name="head"))
  images = np.zeros((2, side, side, 3), np.float32)
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    drawn = rng.uniform(0.5, 1.5, leaf.shape)
    if path[-1].key == "kernel":
      drawn *= rng.choice([-1, 1], leaf.shape)
    return drawn.astype(np.float32)

  drawn = jax.tree_util.tree_map_with_path(
    draw,
    jax.eval_shape(
      lambda: network.init(jax.random.key(0), images, train=False)
    ),
  )
  masks = jax.tree.map(np.asarray, masks_lib.dense(drawn["params"]))
  return network, tickets.Ticket(masks, meta={}, **drawn)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_sparse_layers_give_what_the_network_does(load, bottleneck):
  network, ticket = _draw(bottleneck, 35)
  module = load("sparse_resnet")
  ticket = module.cut(ticket, 0.3)
  layers = module.fold(ticket)
  images = np.random.default_rng(1).standard_normal((2, 35, 35, 3), np.float32)
  outputs = jax.jit(lambda v, x: network.apply(v, x, train=False)["logits"])
  expected = np.asarray(outputs(ticket.variables, images))
  assert np.abs(expected).max() > 0.1
  names = list(layers)[1:]
  for are_sparse in (names[::2], names):
    forward, weights = module.make_forward(
      layers, ticket.params["head"], are_sparse
    )
    found = np.asarray(jax.jit(forward)(weights, images))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_layer_is_sparse_where_it_was_faster_alone(load, monkeypatch):
  _, ticket = _draw(True, 35)
  module = load("sparse_layers")
  layers = load("sparse_resnet").fold(ticket)
  layers["stage2/block1/conv2"].kernel[1:] = 0
  read = {}

  def count(run, weights, x):
    """Takes a layer's time to be its weights, of sparse ones twice as many."""
    jax.eval_shape(run, weights, x)  # It computes such activations.
    read.setdefault(tuple(np.shape(weights[1])), []).append(x.shape)
    matrix = weights[0]
    return 2 * matrix.nse if hasattr(matrix, "nse") else matrix.size

  monkeypatch.setattr(module, "_time_once", count)
  alone = module.time_alone(layers, (2, 35, 33, 3))
  assert list(alone) == list(layers)[1:]
  assert module.list_faster(alone) == ["stage2/block1/conv2"]
  shapes = [shape for shapes in read.values() for shape in shapes[::2]]
  assert sorted({shape[2:] for shape in shapes}) == [(5, 5), (9, 9)]
