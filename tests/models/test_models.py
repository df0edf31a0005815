"""Tests of the networks: published counts, endpoints, order, batch norm."""

import math

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import models
from sslprune_jax.models import grids, layers
from sslprune_jax.runtime.trees import named_leaves
from sslprune_jax.training import state

RNG = jax.random.key(0)


def _shapes(network, image_shape):
  images = jnp.zeros((2, *image_shape))
  return jax.eval_shape(lambda: network.init(RNG, images, train=False))


@pytest.mark.parametrize(
  "name, outputs, size, parameters",
  [
    ("resnet34", 1000, 224, 21_797_672),
    ("resnet50", 1000, 224, 25_557_032),
    ("resnet101", 1000, 224, 44_549_160),
    ("resnet18", 10, 32, 11_173_962),
    ("vgg16", 1000, 224, 138_365_992),
    ("vgg19_dense", 1000, 224, 143_678_248),
    ("alexnet", 1000, 224, 62_378_344 + 2 * 1376),  # and batch norm
    ("vgg19", 10, 32, 20_040_522),
  ],
)
def test_parameter_counts_are_the_published_ones(
  name, outputs, size, parameters
):
  params = _shapes(models.build(name, outputs), (size, size, 3))["params"]
  assert sorted(params) == ["head", "trunk"]
  found = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  assert found == parameters


@pytest.mark.parametrize(
  "name, size, layers, kernels",
  [
    ("convnet", 8, 4, 4),
    ("resnet18", 32, 17, 20),
    ("resnet50", 224, 49, 53),
    ("alexnet", 224, 7, 7),
    ("alexnet_rotnet", 224, 7, 7),
    ("vgg19", 32, 16, 16),
    ("vgg16", 224, 15, 15),
  ],
)
def test_layer_order_names_every_kernel_once(name, size, layers, kernels):
  network = models.build(name, 10)
  order = models.layer_order(models.uses(network, (size, size, 3)))
  names = [name for layer in order for name in layer]
  params = _shapes(network, (size, size, 3))["params"]
  expected = {
    n for n in named_leaves(params) if n[:6] == "trunk/" and n[-6:] == "kernel"
  }
  assert set(names) == expected and len(names) == kernels
  assert len(order) == layers


@pytest.mark.parametrize(
  "name, size, multiply_adds",
  [
    # Without the classifiers of 1,000 classes, 2,048,000 and 4,096,000, and of
    # 10, 5,120.
    ("resnet50", 224, 4_087_136_256),
    ("vgg16", 224, 15_466_168_320),
    ("resnet18", 32, 555_417_600),
  ],
)
def test_uses_times_weights_are_the_multiply_adds_of_the_literature(
  name, size, multiply_adds
):
  network = models.build(name, 10)
  uses = models.uses(network, (size, size, 3))
  params = named_leaves(_shapes(network, (size, size, 3))["params"])
  assert sum(uses[n] * params[n].size for n in uses) == multiply_adds


def test_a_projection_stands_with_the_first_layer_of_its_block():
  network = models.build("resnet18", 10)
  order = models.layer_order(models.uses(network, (32, 32, 3)))
  assert order[0] == ("trunk/stem/conv/kernel",)
  assert order[5] == (
    "trunk/stage2/block1/conv1/conv/kernel",
    "trunk/stage2/block1/shortcut/conv/kernel",
  )


def test_bf16_computes_with_float32_weights_and_logits():
  network = models.build("convnet", 10, dtype="bfloat16")
  images = jnp.ones((2, 8, 8, 1))
  variables = state.initialize(network, (8, 8, 1), RNG)
  assert {x.dtype.name for x in jax.tree.leaves(variables)} == {"float32"}
  apply = jax.jit(network.apply, static_argnames="train")
  outputs = apply(variables, images, train=False)
  assert outputs["stage1"].dtype == jnp.bfloat16
  assert outputs["logits"].dtype == outputs["features"].dtype == jnp.float32


@pytest.mark.parametrize("name, size", [("alexnet", 63), ("vgg16", 32)])
def test_dense_layers_drop_half_of_what_they_read_in_training_alone(name, size):
  network = models.build(name, 10, width=0.125)
  images = jax.random.normal(RNG, (4, size, size, 3))
  variables = state.initialize(network, (size, size, 3), RNG)

  def run(seed, share=0.5):
    _, kept = network.clone(trunk=network.trunk.clone(dropout=share)).apply(
      variables,
      images,
      train=True,
      mutable=["batch_stats", "intermediates"],
      rngs={"dropout": jax.random.key(seed)},
      capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
    )
    dropped = kept["intermediates"]["trunk"]
    assert len(dropped) == (2 if name == "alexnet" else 1)
    return np.asarray(dropped["Dropout_0"]["__call__"][0])

  whole, one, other = run(0, share=0.0), run(0), run(1)
  np.testing.assert_array_equal(one, run(0))
  assert not np.array_equal(one, other)
  for found in (one, other):
    assert 0.4 < np.mean(found[whole > 0] > 0) < 0.6
    np.testing.assert_allclose(found[found > 0], 2 * whole[found > 0])
  first, second = (
    network.apply(variables, images, train=False)["logits"] for _ in range(2)
  )
  np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name, size", [("alexnet", 63), ("convnet", 8)])
def test_features_end_in_a_relu_or_are_their_own_preactivation(name, size):
  network = models.build(name, 10, width=0.125)
  images = jax.random.normal(RNG, (4, size, size, 3))
  variables = state.initialize(network, (size, size, 3), RNG)
  found = jax.jit(lambda: network.apply(variables, images, train=False))()
  before = found["preactivation"]
  after = nn.relu(before) if name == "alexnet" else before
  np.testing.assert_array_equal(found["features"], after)
  assert (before < 0).any() == (name == "alexnet")


@pytest.mark.parametrize(
  "name, small", [("alexnet", True), ("resnet18", False)]
)
def test_dense_layers_of_deepclusters_networks_start_small(name, small):
  network = models.build(name, 100, width=0.125)
  params = state.initialize(network, (63, 63, 3), RNG)["params"]
  assert (abs(np.std(params["head"]["kernel"]) - 0.01) < 1e-3) == small
  assert not np.any(params["head"]["bias"])


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "vgg16", "vgg19"])
def test_images_that_are_too_small_are_refused(name):
  with pytest.raises(ValueError, match=f"{name} takes images of at least"):
    _shapes(models.build(name, 10), (8, 8, 3))


def test_vgg19_takes_fashion_mnist():
  assert _shapes(models.build("vgg19", 10), (28, 28, 1))


def test_a_resnet_has_the_stem_that_is_asked_for():
  small, large = (
    models.build("resnet18", 10, stem=s) for s in ("", "imagenet")
  )
  kernels = [
    _shapes(network, (64, 64, 3))["params"]["trunk"]["stem"]["conv"]["kernel"]
    for network in (small, large)
  ]
  assert [k.shape for k in kernels] == [(3, 3, 3, 64), (7, 7, 3, 64)]
  # torchvision's ResNet-18 with 1,000 classes.
  network = models.build("resnet18", 1000, stem="imagenet")
  params = _shapes(network, (224, 224, 3))["params"]
  found = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  assert found == 11_689_512
  assert models.endpoints(network, (224, 224, 3))["stage4"] == (7, 7, 512)
  with pytest.raises(ValueError, match="model.stem: .*'': convnet has no stem"):
    models.build("convnet", 10, stem="imagenet")


@pytest.mark.parametrize(
  ("name", "parameters"),
  [
    ("vgg16", 138_357_544),
    ("vgg19_dense", 143_667_240),
    ("alexnet_torchvision", 61_100_840),
  ],
)
def test_counts_without_batch_norm_are_torchvisions(name, parameters):
  network = models.build(name, 1000, batch_norm=False)
  params = _shapes(network, (224, 224, 3))["params"]
  found = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
  assert found == parameters


def test_padding_is_the_networks_own_or_what_is_asked_for():
  """Flax pads an even image behind alone, where it strides."""
  images = jax.random.normal(RNG, (1, 32, 32, 3))

  def endpoints(**variant):
    network = models.build("resnet18", 10, width=0.125, **variant)
    variables = state.initialize(network, (32, 32, 3), RNG)
    return jax.jit(lambda: network.apply(variables, images, train=False))()

  own, same = endpoints(), endpoints(padding="same")
  np.testing.assert_array_equal(own["stage1"], same["stage1"])
  assert own["stage2"].shape == same["stage2"].shape
  assert not np.allclose(own["stage2"], same["stage2"])
  wide = endpoints(stem_padding=2)
  assert wide["stage1"].shape == (1, 34, 34, 8)
  np.testing.assert_array_equal(
    endpoints(stem_padding=1)["features"], own["features"]
  )


def test_a_network_without_batch_norm_has_no_statistics():
  network = models.build("vgg19", 10, width=0.125, batch_norm=False)
  variables = state.initialize(network, (32, 32, 3), RNG)
  assert not jax.tree.leaves(variables["batch_stats"])
  with pytest.raises(ValueError, match="batch_norm: .*resnet18 has no batch"):
    models.build("resnet18", 10, batch_norm=False)


def test_unknown_names_are_refused():
  with pytest.raises(ValueError, match="'lenet'.*'resnet50'"):
    models.build("lenet", 10)


def test_synchronised_batch_norm_is_one_big_batch():
  images = jax.random.normal(RNG, (8, 8, 8, 1))
  alone = models.build("convnet", 10)
  variables = state.initialize(alone, (8, 8, 1), RNG)
  together = models.build("convnet", 10, batch_norm_axis="devices")

  def run(network, images):
    return network.apply(variables, images, train=True, mutable=["batch_stats"])

  whole, whole_stats = jax.jit(lambda x: run(alone, x))(images)
  split, split_stats = jax.jit(
    jax.vmap(lambda x: run(together, x), axis_name="devices")
  )(images.reshape(4, 2, 8, 8, 1))
  np.testing.assert_allclose(
    split["logits"].reshape(8, 10), whole["logits"], atol=1e-4
  )
  chex.assert_trees_all_close(
    jax.tree.map(lambda leaf: leaf[0], split_stats),
    whole_stats,
    rtol=1e-7,
    atol=1e-4,
  )


def test_sobel_filters_see_edges_and_no_colour():
  step = np.zeros((1, 5, 5, 3), np.float32)
  step[:, :, 3:] = 1.0  # Brighter to the right.
  left, above = np.moveaxis(np.asarray(layers.sobel(step))[0], -1, 0)
  # Outside there is nothing: the border of what is bright is an edge too.
  rows = np.array([3.0, 4.0, 4.0, 4.0, 3.0])
  edges = np.outer(rows, [0, 0, -1, -1, 1])
  np.testing.assert_allclose(left, edges, atol=1e-6)
  np.testing.assert_allclose(above[1:-1], 0, atol=1e-6)
  turned = layers.sobel(step.swapaxes(1, 2))[0]
  np.testing.assert_allclose(turned[..., 1], left.T, atol=1e-6)
  tinted = step * np.array([3.0, 0.0, 0.0])  # The same brightness in red.
  np.testing.assert_allclose(
    layers.sobel(tinted), layers.sobel(step), atol=1e-6
  )


def test_a_network_behind_sobel_filters_takes_any_channels():
  network = models.build("convnet", 10, sobel=True)
  for channels in (1, 3):
    params = _shapes(network, (8, 8, channels))["params"]
    assert params["trunk"]["stage1"]["conv"]["kernel"].shape == (3, 3, 2, 16)
  assert models.num_features(network, (8, 8, 3)) == 64


def test_stages_are_read_at_the_sizes_of_goyal_et_al():
  network = models.build("resnet50", 10)
  outputs = jax.eval_shape(
    lambda: network.init_with_output(
      jax.random.key(0), jnp.zeros((1, 224, 224, 3)), train=False
    )
  )[0]
  widths = {
    layer: jax.eval_shape(
      lambda o, name=layer: models.readout(o, name), outputs
    )
    for layer in outputs
  }
  widths = {name: out.shape[1] for name, out in widths.items()}
  assert widths == {
    "stage1": 9216,
    "stage2": 8192,
    "stage3": 9216,
    "stage4": 8192,
    "features": 2048,
    "preactivation": 2048,
    "logits": 10,
  }
  with pytest.raises(ValueError, match="found 'stage9', expected one of"):
    models.readout({"features": jnp.zeros((1, 2))}, "stage9")


@pytest.mark.parametrize(
  "shape, window, stride",
  [
    # Goyal et al.'s code: res2 to res5 of ResNet-50 on images of 224.
    ((56, 56, 256), 16, 8),
    ((28, 28, 512), 13, 5),
    ((14, 14, 1024), 8, 3),
    ((7, 7, 2048), 6, 1),
  ],
)
def test_stages_of_resnet50_are_averaged_over_the_windows_of_goyal_et_al(
  shape, window, stride
):
  x = np.asarray(jax.random.normal(RNG, (2, *shape)))
  found = models.read_grid({"stage": x}, "stage")
  sides = range(0, shape[0] - window + 1, stride)
  expected = [
    [x[:, i : i + window, j : j + window].mean((1, 2)) for j in sides]
    for i in sides
  ]
  np.testing.assert_allclose(
    found, np.moveaxis(np.array(expected), 2, 0), atol=1e-5
  )
  assert models.pooling(shape) == f"windows of {window} every {stride}"
  np.testing.assert_array_equal(
    models.readout({"stage": x}, "stage"), np.reshape(found, (2, -1))
  )


def test_other_stages_are_averaged_over_bins():
  assert models.pooling((28, 28, 16)) == "bins, 24 x 24"
  assert models.pooling((2, 3, 64)) == "bins, 2 x 3"
  assert models.pooling((64,)) == ""


def test_bins_of_unequal_size_share_a_row():
  x = jnp.arange(5.0)[None, :, None, None]
  np.testing.assert_allclose(
    grids.adaptive_pool(x, 3, axis=1).ravel(), [0.5, 2, 3.5]
  )
  np.testing.assert_array_equal(grids.adaptive_pool(x, 5, axis=1), x)


def test_a_probe_leaves_the_trunk_alone():
  network = models.build("convnet", 3, probed="stage2")
  images = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
  variables = state.initialize(network, (8, 8, 1), RNG)
  assert variables["params"]["head"]["kernel"].shape == (8 * 8 * 32, 3)

  def loss(params):
    outputs, updated = network.apply(
      {**variables, "params": params}, images, train=True, mutable="batch_stats"
    )
    return jnp.square(outputs["logits"]).sum(), updated["batch_stats"]

  gradients, batch_stats = jax.jit(jax.grad(loss, has_aux=True))(
    variables["params"]
  )
  assert not any(map(np.any, jax.tree.leaves(gradients["trunk"])))
  assert np.any(gradients["head"]["kernel"])
  chex.assert_trees_all_equal(
    batch_stats["trunk"], variables["batch_stats"]["trunk"]
  )
  # Normalised by channel, as Goyal et al. do: 32 of them at 8 x 8 places.
  assert batch_stats["scale"]["mean"].shape == (32,)
  assert np.any(batch_stats["scale"]["mean"])


@pytest.mark.parametrize(
  "name, size",
  [("convnet", 8), ("resnet18", 8), ("vgg19", 16), ("alexnet", 64)],
)
def test_a_quarter_of_the_width_has_about_a_sixteenth_of_the_weights(
  name, size
):
  whole, narrow = (
    _shapes(models.build(name, 10, width=width), (size, size, 1))["params"]
    for width in (1.0, 0.25)
  )
  counts = [
    sum(leaf.size for leaf in jax.tree.leaves(tree["trunk"]))
    for tree in (whole, narrow)
  ]
  assert 14 < counts[0] / counts[1] < 16.1
  names = [sorted(named_leaves(tree)) for tree in (whole, narrow)]
  assert names[0] == names[1]


@pytest.mark.parametrize(
  "name, size",
  [
    ("convnet", 8),
    ("resnet18", 16),
    pytest.param("vgg19", 16, marks=pytest.mark.slow),
    pytest.param("alexnet", 63, marks=pytest.mark.slow),
  ],
)
def test_a_network_that_forgets_has_the_same_weights_and_gradients(name, size):
  # Threefry, the default, takes ten times as long to compile.
  key = jax.random.key(0, impl="rbg")
  images = jax.random.normal(jax.random.key(1), (2, size, size, 3))
  found, kept = {}, {}
  for remat in (False, True):
    network = models.build(name, 3, width=0.125, remat=remat)
    variables = state.initialize(network, (size, size, 3), key)

    def loss(params, network=network, variables=variables):
      outputs, updated = network.apply(
        {**variables, "params": params},
        images,
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": key},
      )
      return jnp.sum(outputs["logits"] ** 2), updated

    gradients = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    found[remat] = variables, gradients
    traced = jax.make_jaxpr(jax.grad(lambda p: loss(p)[0]))(variables["params"])
    kept[remat] = "remat" not in str(traced)
  assert kept == {False: True, True: False}
  chex.assert_trees_all_close(found[True], found[False], rtol=1e-4, atol=1e-5)


def test_features_are_counted_once_a_trunk():
  traced = []

  class Trunk(nn.Module):
    widths: list[int] | tuple[int]

    @nn.compact
    def __call__(self, images, train):
      traced.append(self.widths)
      flat = images.reshape(len(images), -1)
      return {"features": nn.Dense(self.widths[-1])(flat)}

  for widths in ((7,), [7]):  # A list has no hash: it is traced each time.
    for outputs in (4, 10):
      trunk, head = Trunk(widths), nn.Dense(outputs)
      network = models.Network(trunk=trunk, head=head)
      assert models.num_features(network, (8, 8, 3)) == 7
  assert traced == 3 * [(7,)]
