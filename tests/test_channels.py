"""Tests of channels read off a jaxpr."""

import channel_table
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from sslprune_jax import models
from sslprune_jax.pruning import channels
from sslprune_jax.runtime.trees import named_leaves

# Side of the images, and how many groups there are.
NETWORKS = {
  "convnet": (9, 4),
  "resnet18": (32, 12),
  "resnet50": (64, 37),
  "alexnet": (127, 7),
  "vgg16": (32, 15),
  "vgg19": (32, 16),
}
VARIANTS = [
  *((name, {}) for name in NETWORKS),
  ("resnet18", {"sobel": True}),
  ("resnet18", {"dtype": "bfloat16"}),
  ("resnet18", {"remat": True}),
  ("vgg16", {"width": 0.25, "batch_norm": False}),
]


def _shapes(network, side):
  images = jnp.zeros((1, side, side, 3))
  return jax.eval_shape(
    lambda: network.init(jax.random.key(0), images, train=False)
  )


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_they_are_those_of_the_table_index_by_index(name, variant):
  side, count = NETWORKS[name]
  network = models.build(name, 10, **variant)
  shapes = _shapes(network, side)
  found = channels.of_network(network, shapes, (side, side, 3))
  groups = {
    channel_table.comparable((*key, i) for key, i in group.members.items())
    for group in found.groups
  }
  assert groups == channel_table.members(named_leaves(shapes))
  assert len(found.groups) == count and not found.frozen


def test_streams_are_what_several_layers_add_to():
  network = models.build("resnet18", 2)
  groups = channels.of_network(network, _shapes(network, 8), (8, 8, 3)).groups
  streams = [group for group in groups if group.is_stream]
  assert len(streams) == 4
  assert list(streams[0].writers) == [
    "trunk/stage1/block1/conv2/conv/kernel",
    "trunk/stage1/block2/conv2/conv/kernel",
    "trunk/stem/conv/kernel",
  ]


def _conv(features, name, kernel=1, groups=1):
  return nn.Conv(
    features,
    (kernel, kernel),
    feature_group_count=groups,
    use_bias=False,
    name=name,
  )


def _find(forward):
  """Returns the groups of a trunk: {writers: {(layer, axis): indices}}."""

  class Trunk(nn.Module):
    @nn.compact
    def __call__(self, x, train):
      return {"features": forward(x)}

  network = models.Network(Trunk(name="trunk"), nn.Dense(2, name="head"))
  found = channels.of_network(network, _shapes(network, 8), (8, 8, 3))
  layers = {
    tuple(name.split("/")[1] for name in group.writers): {
      (name.split("/")[-2], axis): indices.tolist()
      for (name, axis), indices in group.members.items()
    }
    for group in found.groups
  }
  return layers, found.frozen


def test_a_concatenation_parts_its_reader_by_who_wrote():
  def forward(x):
    x = jnp.concatenate([_conv(2, "a")(x), _conv(3, "b")(x)], -1)
    return _conv(4, "c")(x).mean((1, 2))

  found, frozen = _find(forward)
  assert found == {
    ("a",): {("a", 3): [[0], [1]], ("c", 2): [[0], [1]]},
    ("b",): {("b", 3): [[0], [1], [2]], ("c", 2): [[2], [3], [4]]},
    ("c",): {
      ("c", 3): [[0], [1], [2], [3]],
      ("head", 0): [[0], [1], [2], [3]],
    },
  }
  assert not frozen


def test_a_depthwise_convolution_passes_channels_on():
  def forward(x):
    x = nn.relu(_conv(2, "a")(x))
    x = _conv(4, "b", 3, groups=2)(x)  # Two outputs a channel.
    return x.mean((1, 2))

  found, _ = _find(forward)
  assert found == {
    ("a",): {
      ("a", 3): [[0], [1]],
      ("b", 3): [[0, 1], [2, 3]],
      ("head", 0): [[0, 1], [2, 3]],
    }
  }


def test_each_group_of_a_convolution_loses_the_same_places():
  def forward(x):
    x = _conv(6, "b", 3, groups=2)(_conv(4, "a")(x))
    return x.mean((1, 2))

  found, _ = _find(forward)
  assert found == {
    ("a",): {("a", 3): [[0, 2], [1, 3]], ("b", 2): [[0], [1]]},
    ("b",): {
      ("b", 3): [[0, 3], [1, 4], [2, 5]],
      ("head", 0): [[0, 3], [1, 4], [2, 5]],
    },
  }


def test_a_padded_shortcut_and_a_split_shift_what_goes_together():
  def forward(x):
    x = _conv(2, "a")(x)
    x = _conv(4, "b")(x) + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1)))
    first, second = jnp.split(_conv(4, "c")(x), 2, axis=-1)
    return (first * second).mean((1, 2))

  found, _ = _find(forward)
  # 0 and 3 are of b alone; 1 and 2 are a's too.
  assert found[("b",)] == {("b", 3): [[0], [3]], ("c", 2): [[0], [3]]}
  assert found["a", "b"] == {
    ("a", 3): [[0], [1]],
    ("b", 2): [[0], [1]],
    ("b", 3): [[1], [2]],
    ("c", 2): [[1], [2]],
  }
  assert found[("c",)] == {
    ("c", 3): [[0, 2], [1, 3]],
    ("head", 0): [[0], [1]],
  }


def test_what_has_no_rule_freezes_what_it_touches_and_is_named():
  def forward(x):
    x = nn.relu(_conv(2, "a")(x))
    x = jnp.sort(_conv(3, "b")(x), -1) + 1
    x = nn.relu(_conv(4, "c")(nn.relu(x)))
    return x.mean((1, 2))

  found, frozen = _find(forward)
  assert found.keys() == {("a",), ("c",)}
  assert frozen == {"trunk/b/kernel": "no rule for sort"}


def test_a_mean_over_channels_would_be_another_one_of_fewer():
  def forward(x):
    x = _conv(4, "a")(x)
    x = nn.LayerNorm(name="norm")(x)
    return nn.relu(_conv(3, "b")(x)).mean((1, 2))

  found, frozen = _find(forward)
  assert found.keys() == {("b",)}
  assert frozen == {"trunk/a/kernel": "reduce_sum over channels"}


def test_a_trunk_alone_has_the_groups_of_any_head():
  network = models.build("vgg16", 3, width=0.125)
  shapes, image = _shapes(network, 64), (64, 64, 3)
  whole = channels.of_network(network, shapes, image).groups
  headless = models.without_head(network)
  found = channels.of_trunk(headless, shapes, image).groups
  for a, b in zip(whole, found, strict=True):
    assert a.writers == b.writers
    assert a.trunk.keys() == b.trunk.keys()
    for key, indices in a.trunk.items():
      assert (indices == b.trunk[key]).all()


def test_what_a_network_gives_out_stays():
  network = models.build("convnet", 2)
  drawn = _shapes(network, 8)

  def features(variables, images):
    return network.apply(variables, images, train=False)["features"]

  found = channels.find(features, drawn, (8, 8, 3))
  assert len(found.groups) == 3
  assert found.frozen == {
    "trunk/stage4/conv/kernel": "the network gives them out"
  }


def test_a_kernel_that_nothing_reads_says_so():
  def forward(x):
    _conv(4, "a")(x)
    return _conv(3, "b")(x).mean((1, 2))

  _, frozen = _find(forward)
  assert frozen == {"trunk/a/kernel": "nothing reads them"}
