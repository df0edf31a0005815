"""Tests of exporting: what is read again is the ticket, bit for bit."""

import dataclasses
import json
import subprocess
import sys
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors
from test_exchange_shrink import assert_close, draw_ticket, prune

from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.config.registry import Row
from sslprune_jax.config.rules import NAME
from sslprune_jax.exchange import (
  __main__,
  exporting,
  fitting,
  importing,
  layouts,
  shrink,
  timing,
  to_flax,
  to_jax,
  to_torch,
  to_torchvision,
  written,
)
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.pruning import tickets
from sslprune_jax.runtime.trees import from_names, named_leaves

_MEAN, _STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def make_ticket(name, side, width=0.125, **model):
  """Draws a ticket, half of its weights pruned, as training leaves one."""
  ticket, _ = draw_ticket(name, side, width, **model)
  ticket.meta["config"]["dataset"] = {"mean": _MEAN, "std": _STD}
  rng = np.random.default_rng(2)
  masks = jax.tree.map(
    lambda bits: rng.random(bits.shape) < 0.5 if bits.ndim else bits,
    masks_lib.dense(ticket.params),
  )
  params = jax.device_get(masks_lib.apply(masks, ticket.params))
  return dataclasses.replace(ticket, masks=masks, params=params)


def export(ticket, folder, *formats, out="out"):
  tickets.save(folder / "t.npz", ticket)
  out = folder / out
  return out, exporting.export_ticket(folder / "t.npz", formats, out).said


def assert_same(found, expected):
  found, expected = named_leaves(found), named_leaves(expected)
  assert found.keys() == expected.keys()
  for name, leaf in expected.items():
    np.testing.assert_array_equal(found[name], leaf, err_msg=name)


@pytest.mark.parametrize(
  "name, side",
  [
    ("resnet18", 16),
    ("resnet34", 32),
    ("resnet50", 32),
    pytest.param("resnet101", 32, marks=pytest.mark.slow),
    ("vgg16", 64),
    ("vgg19", 32),
    ("vgg19_dense", 32),
  ],
)
def test_what_was_written_is_imported_bit_for_bit(name, side, tmp_path):
  ticket = make_ticket(name, side)
  out, _ = export(ticket, tmp_path, "safetensors")
  seen = fitting.Input(size=side, mean=_MEAN, std=_STD)
  masks = out / to_torchvision.MASKS
  imported = importing.import_checkpoint(
    out / to_torchvision.FILE, seen, masks=masks
  ).ticket
  assert_same(imported.variables, ticket.variables)
  assert_same(imported.masks, ticket.masks)
  model = imported.meta["config"]["model"]
  assert (model["name"], model["width"]) == (name, 0.125)
  config = json.loads((out / "config.json").read_text())
  assert config["density"] == masks_lib.density(ticket.masks)
  assert config["image_size"] == [side, side] and config["classes"] == 3
  assert config["mean"] == list(_MEAN) and config["std"] == list(_STD)


@pytest.mark.parametrize(
  "name, side, width, sobel",
  [
    ("resnet18", 16, 0.3, False),
    ("resnet18", 16, 1 / 3, True),
    ("resnet50", 32, 0.1, False),
    ("vgg16", 64, 0.13, False),
    ("vgg19", 32, 0.1, True),
  ],
)
def test_any_width_comes_back_and_so_do_edges(
  name, side, width, sobel, tmp_path
):
  ticket = make_ticket(name, side, width, sobel=sobel)
  out, _ = export(ticket, tmp_path, "safetensors")
  seen = fitting.Input(size=side, mean=_MEAN, std=_STD)
  file = out / to_torchvision.FILE
  named = out / f"modèle {'x' * 120}.safetensors"
  imported = importing.import_checkpoint(file.rename(named), seen).ticket
  assert_same(imported.variables, ticket.variables)
  NAME.check("task", imported.meta["task"])  # What takes a ticket takes it.
  model = imported.meta["config"]["model"]
  assert model["sobel"] == sobel
  assert model["width"] == pytest.approx(width, rel=0.02)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_torchvision"])
def test_a_narrow_alexnet_has_torchvisions_names(name, tmp_path):
  out, said = export(make_ticket(name, 95), tmp_path, "safetensors")
  arrays = safetensors.load_file(out / to_torchvision.FILE)
  assert {"features.0.weight", "features.14.bias", "classifier.6.bias"} <= set(
    arrays
  )
  assert "0.125 times as wide" in said[0]


def test_a_shrunk_ticket_of_uneven_widths_is_written_by_the_same_names(
  tmp_path,
):
  ticket, groups = draw_ticket("resnet18", 16)
  ticket.meta["config"]["dataset"] = {"mean": _MEAN, "std": _STD}
  pruned = prune(ticket, groups)[0]
  out, _ = export(pruned, tmp_path, "safetensors")
  seen = fitting.Input(size=16, mean=_MEAN, std=_STD)
  file = out / to_torchvision.FILE
  found = importing.import_checkpoint(file, seen).ticket
  assert_same(found.variables, pruned.variables)
  small = shrink.shrink(pruned)
  out, said = export(small, tmp_path, "safetensors", out="small")
  arrays = safetensors.load_file(out / to_torchvision.FILE)
  kernel = small.params["trunk"]["stage2"]["block1"]["conv1"]["conv"]["kernel"]
  assert kernel.shape[-1] < 16
  np.testing.assert_array_equal(
    arrays["layer2.0.conv1.weight"], kernel.transpose(3, 2, 0, 1)
  )
  assert "channels were sliced out, its widths are uneven" in said[0]
  assert said[0][2:] in (out / "README.md").read_text()
  assert not (out / to_torchvision.MASKS).exists()
  config = json.loads((out / "config.json").read_text())
  found = config["channels_of_layers"]["stage2/block1/conv1/conv"]
  assert found == kernel.shape[-1] and config["shrunk"]


def test_without_a_linear_head_the_trunk_is_written(tmp_path):
  ticket = make_ticket("resnet18", 16)
  ticket.params["head"] = {"a": ticket.params["head"]}
  ticket.masks["head"] = {"a": ticket.masks["head"]}
  out, said = export(ticket, tmp_path, "safetensors")
  arrays = safetensors.load_file(out / to_torchvision.FILE)
  assert not [name for name in arrays if name.startswith("fc.")]
  assert "it has no head" in said[0]
  assert json.loads((out / "config.json").read_text())["classes"] is None


def test_a_head_that_does_not_fit_is_named(tmp_path):
  ticket = make_ticket("resnet18", 16)
  ticket.params["head"]["kernel"] = np.ones((5, 3), np.float32)
  with pytest.raises(
    tickets.TicketError, match=r"head/kernel .* \(5, 3\), the"
  ):
    export(ticket, tmp_path, "flax")


def test_what_a_killed_export_left_is_taken_away(tmp_path):
  begun = tmp_path / ".out.0123abcd.partial"
  begun.mkdir()
  export(make_ticket("resnet18", 16), tmp_path, "flax")
  assert not begun.exists()


def test_views_are_written_as_they_read(tmp_path):
  rows = np.arange(6, dtype=np.float32).reshape(2, 3)
  for kind, array in (("dense", rows), ("convolution", rows[None, None])):
    source = layouts.Source("fc", "weight", kind)
    turned = layouts.turn_back(array, source)
    safetensors.save_file({"x": turned}, tmp_path / "x")
    found = safetensors.load_file(tmp_path / "x")["x"]
    np.testing.assert_array_equal(found.reshape(3, 2), rows.T)
    np.testing.assert_array_equal(layouts.turn(found, source, False), array)


def test_what_is_read_as_another_network_is_not_kept(tmp_path, monkeypatch):
  monkeypatch.setattr(layouts, "turn_back", lambda array, source: 2 * array)
  ticket = make_ticket("resnet18", 16)
  with pytest.raises(ValueError, match="found .* expected"):
    export(ticket, tmp_path, "safetensors")
  assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


def test_what_torchvisions_names_do_not_have_is_refused(tmp_path):
  words = "found the network convnet, expected for --format"
  with pytest.raises(ValueError, match=words):
    export(make_ticket("convnet", 16), tmp_path, "safetensors")
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "flags, words",
  [
    (["--format=tflite"], "--format: found 'tflite', expected some of safet"),
    (["--format=safetensors", "--int8"], "--int8: found --format=safetensors,"),
    (["--format=safetensors", "--out=full"], "found x in it, expected a new"),
    (["--format=safetensors", "--out=full/x"], "found a file, expected a new"),
    (["--format=safetensors", "--out=gs://a/b"], "found a bucket"),
    (["--format=safetensors"], "none.npz: no such ticket"),
  ],
)
def test_bad_commands_are_one_line(flags, words, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "full").mkdir()
  (tmp_path / "full/x").write_text("")
  with pytest.raises(SystemExit) as ended:
    __main__.main(["export", "none.npz", "--out=new", *flags])
  said = f"{capsys.readouterr().err}{ended.value}"
  assert words in said and said.count("error:") == 1
  assert not (tmp_path / "new").exists()


def test_paths_of_home_and_plugins_are_the_commands_too(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv("HOME", str(tmp_path))
  ticket = make_ticket("resnet18", 16)
  ticket.meta["start"] = "5" * 64
  tickets.save(tmp_path / "t.npz", ticket)
  words = ["export", "~/t.npz", "--format=safetensors", "--out=~/out"]
  assert __main__.main(words) == 0
  card = (tmp_path / "out/README.md").read_text()
  assert f"made of a checkpoint of SHA-256 `{'5' * 64}`, whose licence" in card
  file = "~/out/model.safetensors"
  means = "--mean=0.5,0.4,0.3", "--std=0.2,0.3,0.25", "--size=16"
  assert __main__.main(["import", file, "--out=~/back.npz", *means]) == 0
  assert (tmp_path / "back.npz").exists()

  theirs = {"network mine": {"target": "my_package.net:Net"}}
  tickets.save(
    tmp_path / "mine.npz",
    dataclasses.replace(ticket, meta=ticket.meta | {"plugins": theirs}),
  )
  (tmp_path / "my_plugin.py").write_text("raise ModuleNotFoundError('loaded')")
  monkeypatch.syspath_prepend(tmp_path)
  words = ["~/mine.npz", "--plugins=my_plugin"]
  for command, plain in (
    (__main__.main, ["export", words[0], "--format=flax", "--out=~/new"]),
    (timing.main, words[:1]),
  ):
    with pytest.raises(SystemExit, match="mine.npz: network 'mine' comes from"):
      command(plain)
    with pytest.raises(SystemExit, match="--plugins=my_plugin: loaded"):
      command([*plain, words[1]])


def test_a_signal_leaves_no_folder_that_was_begun(tmp_path):
  code = f"""
import pathlib, signal, sys
from sslprune_jax.runtime import endings
endings.watch(resumes=False)
folder = pathlib.Path({str(tmp_path / "begun")!r})
with endings.removing(folder):
  folder.mkdir()
  (folder / "x").write_text("x")
  signal.raise_signal(signal.SIGINT)
"""
  run = subprocess.run([sys.executable, "-c", code], capture_output=True)
  assert run.returncode == 130 and not (tmp_path / "begun").exists()


def test_the_command_writes_several_forms_and_says_what_takes_them(
  tmp_path, capsys
):
  tickets.save(tmp_path / "t.npz", make_ticket("resnet18", 16))
  (tmp_path / "out").mkdir()
  flags = [str(tmp_path / "t.npz"), "--format=safetensors,flax"]
  assert __main__.main(["export", *flags, f"--out={tmp_path / 'out'}"]) == 0
  said = capsys.readouterr().out
  assert "masks.safetensors" in said and "Read again, and held against" in said
  assert {path.name for path in (tmp_path / "out").iterdir()} == {
    *("README.md", "config.json", "model.safetensors", "masks.safetensors"),
    *(to_flax.FILE, to_torch.FILE),
  }


def test_pytorchs_own_class_takes_the_file_strictly(tmp_path):
  torch = pytest.importorskip("torch")
  torch_models = pytest.importorskip("torch_models")
  load = pytest.importorskip("safetensors.torch").load_file
  networks = {
    "resnet18": ({"stem": "imagenet"}, 64, torch_models.ResNet(
      (2, 2, 2, 2), False, 8, outputs=3)),
    "resnet50": ({}, 64, torch_models.ResNet(
      (3, 4, 6, 3), True, 8, outputs=3)),
    "vgg16": ({"batch_norm": "none"}, 224, torch_models.vgg(
      (2, 2, 3, 3, 3), False, 8, 512, outputs=3)),
  }  # fmt: skip
  for name, (model, side, network) in networks.items():
    folder = tmp_path / name
    folder.mkdir()
    ticket = make_ticket(name, side, **model)
    out, _ = export(ticket, folder, "safetensors")
    network.load_state_dict(load(out / to_torchvision.FILE), strict=True)
    rows = np.random.default_rng(0).standard_normal((2, side, side, 3))
    rows = rows.astype(np.float32)
    with torch.no_grad():
      found = network.eval()(torch.tensor(rows.transpose(0, 3, 1, 2)))
    assert_close(found.numpy(), written.logits_of(ticket, rows))


@pytest.mark.parametrize("name, side", [("convnet", 8), ("alexnet_rotnet", 63)])
def test_our_own_names_hold_any_network(name, side, tmp_path):
  ticket = make_ticket(name, side)
  out, _ = export(ticket, tmp_path, "flax")
  found = from_names(safetensors.load_file(out / to_flax.FILE))
  assert_same(found["params"], ticket.params)
  assert_same(found["batch_stats"], ticket.batch_stats)
  assert_same(found["masks"], ticket.masks)
  (tmp_path / "other").write_text("")
  mode = (tmp_path / "other").stat().st_mode
  assert {path.stat().st_mode for path in out.iterdir()} == {mode}
  assert {path.name for path in out.iterdir()} == {
    *("README.md", "config.json", to_flax.FILE)
  }


# Ours blocked, a user's process imports JAX alone.
_ALONE = """
import sys
sys.modules["sslprune_jax"] = sys.modules["flax"] = None
import jax.export, numpy as np
file, folder = sys.argv[1:]
with open(file, "rb") as content:
  network = jax.export.deserialize(bytearray(content.read()))
assert network.platforms == ("cpu", "cuda", "tpu")
assert "HIGHEST" in network.mlir_module()  # On a TPU it is no default.
for count in (1, 3):
  images = np.load(f"{folder}/images.npy")[:count]
  outputs = network.call(images)
  np.save(f"{folder}/{count}.npy", outputs["logits"])
  assert outputs["features"].shape[0] == count
"""


@pytest.mark.parametrize(
  "name, side", [("resnet18", 16), ("vgg19_dense", 32), ("alexnet", 63)]
)
def test_stablehlo_runs_where_this_package_cannot_be_imported(
  name, side, tmp_path
):
  ticket = make_ticket(name, side)
  out, _ = export(ticket, tmp_path, "jax")
  shape = (3, side, side, 3)
  images = np.random.default_rng(1).standard_normal(shape, np.float32)
  np.save(tmp_path / "images.npy", images)
  words = [sys.executable, "-c", _ALONE, out / to_jax.FILE, tmp_path]
  run = subprocess.run(words, capture_output=True, text=True)
  assert run.returncode == 0, run.stderr
  expected = written.logits_of(ticket, images)
  for count in (1, 3):
    assert_close(np.load(tmp_path / f"{count}.npy"), expected[:count])


class OfOneBatch(nn.Module):
  width: float = 1.0
  dtype: Any = np.float32
  axis_name: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(self, x, train):
    return {"features": nn.Dense(4, name="dense")(x.reshape(len(x), -1))}


def test_a_network_of_one_batch_is_refused_as_stablehlo(tmp_path, monkeypatch):
  row = Row("one_batch", f"{__name__}:OfOneBatch")
  monkeypatch.setitem(NETWORKS._rows, row.name, row)
  ticket = make_ticket("one_batch", 8)
  with pytest.raises(ValueError, match="format=jax: found a network that does"):
    export(ticket, tmp_path, "flax", "jax")
  assert not (tmp_path / "out").exists()
  out, _ = export(ticket, tmp_path, "flax")
  assert (out / to_flax.FILE).exists()
