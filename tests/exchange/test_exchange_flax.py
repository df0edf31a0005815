"""ResNets as Flax's ImageNet example names and pads them, and the command."""

import functools
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import torch_files
from etils import epath
from flax import serialization

from sslprune_jax.config import files as config_files
from sslprune_jax.exchange import __main__ as command
from sslprune_jax.exchange import fitting, importing
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.trees import named_leaves
from sslprune_jax.study import alone


class _Example(nn.Module):
  """The example's network, in our words, with its names."""

  blocks: tuple
  bottleneck: bool
  width: int = 8

  @nn.compact
  def __call__(self, x):
    norm = functools.partial(
      nn.BatchNorm, use_running_average=True, epsilon=1e-5
    )
    conv = functools.partial(nn.Conv, use_bias=False)
    x = conv(
      self.width, (7, 7), (2, 2), padding=[(3, 3), (3, 3)], name="conv_init"
    )(x)
    x = nn.relu(norm(name="bn_init")(x))
    x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
    number = 0
    for i, count in enumerate(self.blocks):
      for j in range(count):
        kind = "Bottleneck" if self.bottleneck else ""
        x = _Block(
          self.width * 2**i,
          (2, 2) if i and not j else (1, 1),
          self.bottleneck,
          conv,
          norm,
          name=f"{kind}ResNetBlock_{number}",
        )(x)
        number += 1
    return nn.Dense(10)(x.mean((1, 2)))


class _Block(nn.Module):
  width: int
  strides: tuple
  bottleneck: bool
  conv: object
  norm: object

  @nn.compact
  def __call__(self, x):
    out = 4 * self.width if self.bottleneck else self.width
    layers = [(self.width, 3, self.strides), (out, 3, (1, 1))]
    if self.bottleneck:
      layers = [(self.width, 1, (1, 1)), layers[0], (out, 1, (1, 1))]
    y = x
    for i, (width, kernel, strides) in enumerate(layers):
      y = self.conv(width, (kernel, kernel), strides, name=f"Conv_{i}")(y)
      y = self.norm(name=f"BatchNorm_{i}")(y)
      y = y if i == len(layers) - 1 else nn.relu(y)
    if x.shape != y.shape:
      x = self.conv(out, (1, 1), self.strides, name="conv_proj")(x)
      x = self.norm(name="norm_proj")(x)
    return nn.relu(x + y)


def _draw(network, size):
  """Returns variables whose statistics are not 0 and 1."""
  images = jax.random.normal(jax.random.key(1), (2, size, size, 3))
  variables = jax.jit(network.init)(jax.random.key(0), images)
  rng = np.random.default_rng(0)
  return images, jax.tree.map(
    lambda x: np.asarray(x + 0.3 * rng.random(x.shape), np.float32), variables
  )


@pytest.mark.parametrize("form", ["msgpack", "orbax"])
@pytest.mark.parametrize(
  ("name", "blocks", "bottleneck"),
  [
    ("resnet18", (2, 2, 2, 2), False),
    pytest.param("resnet50", (3, 4, 6, 3), True, marks=pytest.mark.slow),
  ],
)
def test_the_example_is_read_with_its_padding(
  form, name, blocks, bottleneck, tmp_path
):
  network = _Example(blocks, bottleneck)
  images, variables = _draw(network, 64)
  state = {**variables, "step": 5, "opt_state": {"0": {"trace": {}}}}
  path = tmp_path / "checkpoint_5"
  if form == "msgpack":
    path.write_bytes(serialization.msgpack_serialize(state))
  else:
    with ocp.StandardCheckpointer() as checkpointer:
      checkpointer.save(epath.Path(path), state)
  imported = importing.import_checkpoint(path, fitting.Input(size=64))
  model = imported.ticket.meta["config"]["model"]
  assert model["name"] == name and model["padding"] == "same"
  expected = jax.jit(network.apply)(variables, images)
  ours = imported.ticket.network()
  found = jax.jit(lambda v, x: ours.apply(v, x, train=False))(
    imported.ticket.variables, images
  )["logits"]
  scale = np.abs(expected).max()
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def test_of_two_networks_of_flax_one_is_chosen_and_said(tmp_path):
  network = _Example((2, 2, 2, 2), False)
  _, variables = _draw(network, 64)
  other = jax.tree.map(lambda x: x + 1, variables)
  path = tmp_path / "x"
  tree = {"target": other, "online": variables, "opt_state": {"mu": other}}
  path.write_bytes(serialization.msgpack_serialize(tree))
  kernel = variables["params"]["conv_init"]["kernel"]
  imported = importing.import_checkpoint(path, fitting.Input(size=64))
  found = imported.ticket.params["trunk"]["stem"]["conv"]["kernel"]
  np.testing.assert_array_equal(found, kernel)
  assert "'opt_state.mu.', 'target.': choose by --prefix" in imported.said[1]
  imported = importing.import_checkpoint(
    path, fitting.Input(size=64), prefix="target"
  )
  found = imported.ticket.params["trunk"]["stem"]["conv"]["kernel"]
  np.testing.assert_array_equal(found, kernel + 1)
  with pytest.raises(ValueError, match="no network behind 'nothing'"):
    importing.import_checkpoint(path, fitting.Input(), prefix="nothing")
  variables["params"]["ResNetBlock_0"]["Squeeze_0"] = {"kernel": kernel}
  path.write_bytes(serialization.msgpack_serialize(variables))
  with pytest.raises(
    ValueError, match="Squeeze_0.kernel: found it in the trun"
  ):
    importing.import_checkpoint(path, fitting.Input(size=64))


def test_the_command_writes_a_ticket_and_says_what_it_took(tmp_path, capsys):
  file, out = tmp_path / "mine-v2.safetensors", tmp_path / "t.npz"
  arrays = torch_files.resnet18()
  wrapped = {f"backbone.{k}": v for k, v in arrays.items()}
  wrapped["projector.0.weight"] = np.ones((4, 4), np.float32)
  safetensors.numpy.save_file(wrapped, file)
  flags = ["--mean=0.5,0.5,0.5", "--std=1,1,1", "--size=96"]
  assert command.main(["import", str(file), f"--out={out}", *flags]) == 0
  said = capsys.readouterr().out
  assert "safetensors: resnet18 x 0.125, 100 arrays behind 'backbone.'" in said
  assert "without a head" in said and "left: projector (1)" in said
  ticket = tickets.load(out)
  assert ticket.meta["task"] == "mine_v2"
  assert ticket.meta["image_shape"] == [96, 96, 3]
  dataset = ticket.meta["config"]["dataset"]
  assert dataset["mean"] == [0.5] * 3 and dataset["std"] == [1.0] * 3
  kernel = ticket.params["trunk"]["stem"]["conv"]["kernel"]
  np.testing.assert_array_equal(
    kernel, arrays["conv1.weight"].transpose(2, 3, 1, 0)
  )
  features = ticket.features(np.zeros((2, 96, 96, 3), np.uint8))
  assert features.shape == (2, 64) and np.isfinite(features).all()
  with pytest.raises(tickets.TicketError, match="no head.*Ticket.features"):
    ticket.network()
  again = importing.import_checkpoint(out, fitting.Input())
  assert again.ticket.meta == ticket.meta
  with pytest.raises(ValueError, match="found a ticket.*expected it alone"):
    importing.import_checkpoint(out, fitting.Input(bgr=True))
  with pytest.raises(SystemExit, match="expected a new file"):
    command.main(["import", str(file), f"--out={out}"])


def test_an_imported_network_is_judged_by_the_documented_command(tmp_path):
  file, out = tmp_path / "x.safetensors", tmp_path / "t.npz"
  safetensors.numpy.save_file(torch_files.resnet18(), file)
  command.main(["import", str(file), f"--out={out}", "--size=32"])
  config = config_files.load("transfer:digits")
  config.transfer.update(
    protocols=("knn:digits",), layers=("features",), random=False
  )
  (line,) = alone.run(config, [out], tmp_path / "w")
  assert line["task"] == "x" and line["value"] > 0.3


def test_masks_are_those_behind_the_prefix(tmp_path):
  arrays = torch_files.resnet18()
  kernel, shape = "layer1.0.conv1.weight", arrays["layer1.0.conv1.weight"].shape
  masks = {
    f"{prefix}{name}": np.full(array.shape, value, np.float32)
    for prefix, value in (("encoder_q.", 0), ("encoder_k.", 1))
    for name, array in arrays.items()
    if array.ndim == 4
  }
  masks[f"encoder_k.{kernel}"] = np.arange(np.prod(shape)).reshape(shape) % 2
  both = {f"encoder_{n}.{k}": v for n in "qk" for k, v in arrays.items()}
  bare = {
    name.removeprefix("encoder_k."): mask
    for name, mask in masks.items()
    if name.startswith("encoder_k.")
  }
  safetensors.numpy.save_file(both, tmp_path / "x.safetensors")
  for file in (masks, bare):
    safetensors.numpy.save_file(file, tmp_path / "m.safetensors")
    imported = importing.import_checkpoint(
      tmp_path / "x.safetensors",
      fitting.Input(),
      prefix="encoder_k",
      masks=tmp_path / "m.safetensors",
    )
    found = named_leaves(imported.ticket.masks)
    layer = "trunk/stage1/block1/conv1/conv/kernel"
    expected = masks[f"encoder_k.{kernel}"].transpose(2, 3, 1, 0) == 1
    np.testing.assert_array_equal(found.pop(layer), expected)
    assert all(mask.all() for mask in found.values())


def test_masks_of_flaxs_example_are_by_its_names(tmp_path):
  _, variables = _draw(_Example((2, 2, 2, 2), False), 64)
  path = tmp_path / "checkpoint_5"
  path.write_bytes(serialization.msgpack_serialize(dict(variables)))
  kernel = variables["params"]["ResNetBlock_0"]["Conv_0"]["kernel"]
  mask = (np.arange(kernel.size).reshape(kernel.shape) % 3 > 0).astype("f")
  masks = jax.tree.map(np.ones_like, variables["params"])
  masks["ResNetBlock_0"]["Conv_0"]["kernel"] = mask
  beside = tmp_path / "masks"
  beside.write_bytes(serialization.msgpack_serialize({"params": masks}))
  imported = importing.import_checkpoint(path, fitting.Input(), masks=beside)
  trunk = imported.ticket.masks["trunk"]
  found = trunk["stage1"]["block1"]["conv1"]["conv"]["kernel"]
  np.testing.assert_array_equal(found, mask == 1)


@pytest.mark.parametrize("meta", [{}, {"image_shape": [8, 8, 3]}])
def test_a_ticket_that_says_too_little_is_not_imported(meta, tmp_path):
  params = {"trunk": {"a": {"kernel": np.ones((2, 3), np.float32)}}}
  ticket = tickets.Ticket(masks_lib.dense(params), params, {}, meta)
  path, out = tmp_path / "t.npz", tmp_path / "o.npz"
  tickets.save(path, ticket)
  with pytest.raises(SystemExit, match="meta.(image_shape|config): found"):
    command.main(["import", str(path), f"--out={out}"])
  assert not out.exists()


def test_an_array_without_a_number_is_refused(tmp_path):
  arrays = torch_files.resnet18()
  arrays["conv1.weight"] = np.zeros((8, 0, 7, 7), np.float32)
  file = tmp_path / "x.safetensors"
  safetensors.numpy.save_file(arrays, file)
  with pytest.raises(SystemExit, match="conv1.weight: found the shape .8, 0"):
    command.main(["import", str(file), f"--out={tmp_path / 'o.npz'}"])


def test_a_stem_may_have_no_padding(tmp_path):
  file, out = tmp_path / "x.safetensors", tmp_path / "t.npz"
  safetensors.numpy.save_file(torch_files.resnet18(), file)
  command.main(["import", str(file), f"--out={out}", "--stem_padding=0"])
  assert tickets.load(out).meta["config"]["model"]["stem_padding"] == 0


def test_what_cannot_be_imported_writes_nothing(tmp_path):
  file, out = tmp_path / "x.safetensors", tmp_path / "t.npz"
  arrays = torch_files.resnet18()
  safetensors.numpy.save_file(arrays, file)
  (tmp_path / "config.json").write_text(
    json.dumps({"downsample_in_bottleneck": True})
  )
  with pytest.raises(SystemExit, match="x.safetensors: .*the first 1 x 1"):
    command.main(["import", str(file), f"--out={out}"])
  (tmp_path / "config.json").unlink()
  with pytest.raises(SystemExit, match="found nothing|no network of a known"):
    safetensors.numpy.save_file({"a": arrays["conv1.weight"]}, file)
    command.main(["import", str(file), f"--out={out}"])
  masks = {"nothing.conv1.weight": jnp.ones((2, 2))}
  safetensors.numpy.save_file(
    {k: np.asarray(v) for k, v in masks.items()}, tmp_path / "m"
  )
  with pytest.raises(SystemExit, match="m: found no network"):
    command.main(
      ["import", str(file), f"--out={out}", f"--masks={tmp_path / 'm'}"]
    )
  assert not out.exists()


def test_a_folder_that_is_no_utf8_is_not_called_damaged(tmp_path):
  folder = tmp_path / "b\udcffn"
  folder.mkdir()
  (folder / "_METADATA").write_text("{}")
  with pytest.raises(SystemExit, match=r"udcffn: found a path that is no UTF-"):
    command.main(["import", str(folder), f"--out={tmp_path / 't.npz'}"])
