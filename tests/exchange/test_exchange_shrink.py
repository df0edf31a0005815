"""Tests of shrinking: what is sliced computes what was 0 did, at any size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sslprune_jax import models
from sslprune_jax.exchange import shrink
from sslprune_jax.pruning import channel_cuts, channels, tickets
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime.errors import ConfigError
from sslprune_jax.runtime.trees import named_leaves, with_leaves

# Side of the images that it is trained on, and an odd one.
NETWORKS = {
  "convnet": (8, 11),
  "resnet18": (16, 13),
  "resnet50": (32, 35),
  "alexnet": (95, None),  # Flattened, images have one size.
  "alexnet_rotnet": (63, None),
  "vgg16": (64, None),
  "vgg19": (32, 35),
}


def draw_ticket(
  name,
  side,
  width=0.125,
  sobel=False,
  seed=0,
  outputs=3,
  channels_in=3,
  **variant,
):
  """Draws a ticket, all numbers of it at random, with full masks."""
  model = {"name": name, "width": width, "sobel": sobel, **variant}
  network = models.build(
    name, outputs, width=width, sobel=sobel, **models.variants(model)
  )
  images = jnp.zeros((1, side, side, channels_in))
  drawn = jax.eval_shape(
    lambda: network.init(jax.random.key(0), images, train=False)
  )
  rng = np.random.default_rng(seed)

  def draw(leaf_name, leaf):
    if leaf_name.endswith("/var"):
      return rng.uniform(0.5, 2, leaf.shape).astype(np.float32)
    scale = np.prod(leaf.shape[:-1]) ** -0.5 if leaf.ndim > 1 else 0.5
    return (rng.standard_normal(leaf.shape) * scale).astype(np.float32)

  variables = {"batch_stats": {}} | with_leaves(
    drawn, {k: draw(k, leaf) for k, leaf in named_leaves(drawn).items()}
  )
  shape = (side, side, channels_in)
  groups = channels.of_network(network, variables, shape).groups
  masks = masks_lib.dense(variables["params"])
  masks = channel_cuts.widen(masks, variables["params"], groups)
  meta = {"image_shape": list(shape), "config": {"model": model}}
  return tickets.Ticket(masks=masks, meta=meta, **variables), groups


def prune(ticket, groups, share=0.4, seed=1):
  """Zeroes random channels of every group."""
  rng = np.random.default_rng(seed)
  kept = [rng.random(group.size) >= share for group in groups]
  for stays in kept:
    stays[rng.integers(stays.size)] = True
  masks = channel_cuts.cut(ticket.masks, groups, kept)
  params = jax.device_get(masks_lib.apply(masks, ticket.params))
  return dataclasses.replace(ticket, masks=masks, params=params), kept


def logits(ticket, side):
  images = np.random.default_rng(side).standard_normal((2, side, side, 3))
  apply = jax.jit(ticket.network().apply, static_argnames="train")
  outputs = apply(ticket.variables, np.float32(images), train=False)
  return np.asarray(outputs["logits"])


def assert_close(found, expected):
  assert np.abs(expected).max() > 1e-3
  error = np.abs(found - expected).max()
  assert error <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
  "name, sobel",
  [
    *((name, False) for name in NETWORKS if name != "resnet50"),
    ("convnet", True),
    ("resnet18", True),
    pytest.param("resnet50", False, marks=pytest.mark.slow),
  ],
)
def test_sliced_it_computes_what_it_did_with_zeros(name, sobel):
  side, odd = NETWORKS[name]
  ticket, groups = draw_ticket(name, side, sobel=sobel)
  pruned, kept = prune(ticket, groups)
  small = shrink.shrink(pruned)
  assert_close(logits(small, odd or side), logits(pruned, odd or side))
  sizes = [
    sum(map(np.size, jax.tree.leaves(t.params))) for t in (small, pruned)
  ]
  assert sizes[0] < 0.7 * sizes[1]
  for group, stays in zip(groups, kept, strict=True):
    kernel = named_leaves(small.params)[group.name]
    assert kernel.shape[-1] == stays.sum()
  assert masks_lib.density(small.masks) == 1 == small.meta["density"]


@pytest.fixture(scope="module")
def convnet():
  ticket, groups = draw_ticket("convnet", 8, width=0.5)
  return (*prune(ticket, groups), groups)


def test_it_is_a_ticket_again(convnet, tmp_path):
  pruned, kept, _ = convnet
  tickets.save(tmp_path / "t.npz", shrink.shrink(pruned))
  small = tickets.load(tmp_path / "t.npz")
  assert_close(logits(small, 9), logits(pruned, 9))
  dataset = {"mean": [0.5] * 3, "std": [0.3] * 3}
  for ticket in (small, pruned):
    ticket.meta["config"]["dataset"] = dataset
  images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
  features = small.features(images)
  expected = pruned.features(images)
  assert features.shape[1] < expected.shape[1]
  np.testing.assert_allclose(features, expected[:, kept[-1]], 1e-5, 1e-6)


def test_drawn_anew_it_is_what_the_whole_network_was_sliced(convnet):
  pruned, *_ = convnet
  small = shrink.shrink(pruned)
  images = jnp.zeros((1, 8, 8, 3))
  key = jax.random.key(3)
  found, whole = (
    named_leaves(t.network().init(key, images, train=False)["params"])
    for t in (small, pruned)
  )
  masks = masks_lib.prunable(pruned.masks)
  for name, mask in masks.items():
    # The kept weights of a kernel are a box of it.
    kept = np.asarray(whole[name])[mask]
    np.testing.assert_array_equal(np.ravel(found[name]), kept)
  assert found["head/kernel"].shape == small.params["head"]["kernel"].shape


def test_pruned_on_it_is_shrunk_on(convnet):
  pruned, *_ = convnet
  once = shrink.shrink(pruned)
  network = once.network()
  groups = channels.of_network(network, once.variables, (8, 8, 3)).groups
  again, _ = prune(once, groups, seed=2)
  twice = shrink.shrink(again)
  assert_close(logits(twice, 8), logits(again, 8))
  kernels = [
    t.params["trunk"]["stage3"]["conv"]["kernel"].shape[-1]
    for t in (pruned, once, twice)
  ]
  assert kernels[0] > kernels[1] > kernels[2]
  jax.tree.map(
    lambda drawn, leaf: np.testing.assert_array_equal(drawn.shape, leaf.shape),
    twice.network().init(
      jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False
    ),
    twice.variables,
  )


def test_what_is_constant_and_not_0_stays(convnet):
  pruned, kept, groups = convnet
  dead = int(np.flatnonzero(~kept[0])[0])
  pruned = dataclasses.replace(
    pruned, params=jax.tree.map(np.copy, pruned.params)
  )
  pruned.params["trunk"]["stage1"]["bn"]["bias"][dead] = 0.5
  lives = shrink.find_remaining(pruned.params, groups)
  assert lives[0][dead] and lives[0].sum() == kept[0].sum() + 1


def test_of_a_group_that_is_all_0_one_channel_stays(convnet):
  pruned, kept, groups = convnet
  nothing = [np.zeros(groups[0].size, bool), *kept[1:]]
  masks = channel_cuts.cut(pruned.masks, groups, nothing)
  params = jax.device_get(masks_lib.apply(masks, pruned.params))
  pruned = dataclasses.replace(pruned, masks=masks, params=params)
  small = shrink.shrink(pruned)
  assert small.params["trunk"]["stage1"]["conv"]["kernel"].shape[-1] == 1
  assert_close(logits(small, 9), logits(pruned, 9))


def test_a_head_of_several_layers_is_left_out(convnet):
  pruned, *_ = convnet
  head = {"layers_0": {"kernel": np.ones((32, 4), np.float32)}}
  params = {"trunk": pruned.params["trunk"], "head": head}
  masks = {**masks_lib.dense(params), "trunk": pruned.masks["trunk"]}
  stats = pruned.batch_stats | {"head": {"mean": np.zeros(4, np.float32)}}
  small = shrink.shrink(
    dataclasses.replace(pruned, params=params, masks=masks, batch_stats=stats)
  )
  for tree in (small.params, small.masks, small.batch_stats):
    assert tree.keys() == {"trunk"}
  with pytest.raises(tickets.TicketError, match="found no head"):
    small.network()


@pytest.mark.parametrize("wrong", ["channel-major", "left out"])
def test_wrong_slices_are_seen(wrong, monkeypatch):
  ticket, groups = draw_ticket("alexnet", 95)
  pruned, _ = prune(ticket, groups)
  find_kept = shrink.find_kept

  def change(variables, groups, lives):
    kept = find_kept(variables, groups, lives)
    if wrong == "channel-major":
      key = ("params/trunk/fc6/kernel", 0)
      size = groups[4].size
      kept[key] = kept[key].reshape(-1, size).T.reshape(-1)
    else:  # As many others of one member.
      key = ("params/trunk/stage2/bn/scale", 0)
      kept[key] = kept[key][::-1]
    return kept

  monkeypatch.setattr(shrink, "find_kept", change)
  with pytest.raises(tickets.TicketError, match="found logits that differ by"):
    shrink.shrink(pruned)


@pytest.mark.parametrize(
  "text, message",
  [
    ("nonsense", "found 'nonsense'.*expected '', or the text"),
    ("8.ff00:params/a@0", "2 bytes for 8"),
    ("8.00:params/a@0", "nothing is kept"),
    ("8.ff:params/trunk/x@0", "along axis 0 of params/trunk/x, .*shape ()"),
    ("9.ff80:params/trunk/stage1/conv/kernel@3", "found 9.*3, 3, 3, 16"),
  ],
)
def test_a_text_of_anybody_is_not_believed(text, message):
  with pytest.raises(ConfigError, match=f"config.model.kept: .*{message}"):
    network = models.build("convnet", 2, kept=text)
    network.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
