"""Tests of what an export is held against, and of what stands in front."""

import dataclasses
import importlib.util
import json
import re

import jax.export
import numpy as np
import pytest
from test_exchange_export import make_ticket
from test_exchange_shrink import assert_close, draw_ticket, prune

from sslprune_jax import data
from sslprune_jax.config import dataset as dataset_section
from sslprune_jax.exchange import (
  exporting,
  heads,
  onnx_int8,
  shrink,
  to_flax,
  to_jax,
  to_onnx,
  to_torch,
  written,
)
from sslprune_jax.pruning import tickets


def draw_digits(outputs=10, task="labels", width=0.125, **changes):
  """Draws a ticket of a study of digits."""
  ticket, _ = draw_ticket("convnet", 8, width, outputs=outputs, channels_in=1)
  section = dataset_section("digits").to_dict()
  ticket.meta["config"]["dataset"] = section | changes
  ticket.meta["task"] = task
  return ticket


def export(ticket, folder, *formats, **more):
  tickets.save(folder / "t.npz", ticket)
  exported = exporting.export_ticket(
    folder / "t.npz", formats, folder / "out", **more
  )
  return exported.out, exported.said


def test_files_are_held_against_all_test_images(tmp_path):
  out, said = export(draw_digits(), tmp_path, "flax")
  assert "Read again, and held against the ticket: flax.safe" in said[-1]
  assert "and on the 359 test images of digits, with the same" in said[-1]
  assert said[-1] in (out / "README.md").read_text()


def test_a_difference_on_one_test_image_is_seen(tmp_path, monkeypatch):
  ticket = draw_digits()
  test = data.load(data.Spec("digits", "test"))
  make = written.make_logits

  def make_wrong(ticket):
    compute = make(ticket)
    seen = written.Reference(ticket).prepare(test.images[-1:])

    def wrong(images):
      logits = compute(images)
      if len(images) > 2 and np.array_equal(images[-1:], seen):
        logits = logits + np.eye(len(logits), 10, dtype=np.float32)[::-1]
      return logits

    return wrong

  monkeypatch.setattr(to_flax, "make_logits", make_wrong)
  with pytest.raises(ValueError, match="flax.safetensors: found logits that"):
    export(ticket, tmp_path, "flax")
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
  "change, words",
  [
    ({"name": ""}, "found no name of a data set"),
    ({"name": "nosuch/set"}, "nosuch/set: found no prepared set"),
    ({"image_size": 9}, "found images of .9, 9, 1., expected .8, 8, 1."),
  ],
)
def test_without_test_images_it_says_so(change, words, tmp_path):
  ticket = draw_digits(**change)
  _, said = export(ticket, tmp_path, "flax")
  with pytest.raises(ValueError, match=f"--int8: found no training.*{words}"):
    onnx_int8.open_images(ticket)
  assert re.search(f"test images were not at hand .*{words}", said[-1])


def test_mean_and_deviation_stand_in_front(tmp_path):
  ticket = make_ticket("convnet", 8)
  out, _ = export(ticket, tmp_path, "jax", in_front=True)
  config = json.loads((out / "config.json").read_text())
  assert config["take_pixels"] == [to_jax.FILE]
  card = (out / "README.md").read_text()
  assert f"{to_jax.FILE} do that themselves" in card
  assert "maps pixels in [0, 1], f32" in card
  content = (out / to_jax.FILE).read_bytes()
  network = jax.export.deserialize(bytearray(content))
  pixels = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
  mean, std = np.float32(config["mean"]), np.float32(config["std"])
  expected = written.logits_of(ticket, (pixels - mean) / std)
  assert_close(np.asarray(network.call(pixels)["logits"]), expected)


def test_what_stands_in_front_of_onnx_is_not_folded(tmp_path):
  onnxruntime = pytest.importorskip("onnxruntime")
  ticket = make_ticket("resnet18", 16)  # Padded by zeros of after it.
  out, _ = export(ticket, tmp_path, "onnx", in_front=True)
  pixels = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
  session = onnxruntime.InferenceSession(str(out / to_onnx.FILE))
  (found,) = session.run(["logits"], to_onnx.feed(pixels))
  section = ticket.meta["config"]["dataset"]
  mean, std = (np.float32(section[name]) for name in ("mean", "std"))
  assert_close(found, written.logits_of(ticket, (pixels - mean) / std))


def load_twin(out):
  """Loads the written module as its user does."""
  spec = importlib.util.spec_from_file_location("twin", out / to_torch.FILE)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.load()


@pytest.mark.parametrize(
  "name, side, model",
  [
    ("resnet18", 17, {}),
    ("resnet18", 35, {"stem": "imagenet", "padding": "same", "sobel": True}),
    ("resnet18", 16, {"stem_padding": 2, "padding": "same"}),
    ("resnet50", 64, {}),
    ("vgg16", 64, {}),
    ("vgg19", 28, {"batch_norm": "none"}),
    ("vgg19_dense", 45, {}),
    ("alexnet", 95, {"sobel": True}),
    ("alexnet_stages", 95, {}),
    ("alexnet_torchvision", 63, {"batch_norm": "none"}),
  ],
)
@pytest.mark.parametrize("head", [True, False])
def test_the_written_module_of_pytorch_takes_the_weights(
  name, side, model, head, tmp_path
):
  torch = pytest.importorskip("torch")
  ticket = make_ticket(name, side, **model)
  if not head:
    ticket.params["head"] = {"a": ticket.params["head"]}
    ticket.masks["head"] = {"a": ticket.masks["head"]}
  out, said = export(ticket, tmp_path, "safetensors", in_front=not head)
  assert "was not run" not in "".join(said)
  network = load_twin(out)
  pixels = np.random.default_rng(0).random((3, side, side, 3), np.float32)
  section = ticket.meta["config"]["dataset"]
  mean, std = (np.float32(section[k]) for k in ("mean", "std"))
  images = (pixels - mean) / std
  with torch.no_grad():
    taken = torch.tensor(images if head else pixels).permute(0, 3, 1, 2)
    found = network(taken).numpy()
  if not head:
    ticket = heads.without_other_head(ticket)
  assert_close(found, written.logits_of(ticket, images))


def test_the_written_module_has_uneven_widths_and_trains(tmp_path):
  torch = pytest.importorskip("torch")
  ticket, groups = draw_ticket("resnet18", 16)
  ticket.meta["config"]["dataset"] = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
  small = shrink.shrink(prune(ticket, groups)[0])
  out, _ = export(small, tmp_path, "safetensors")
  network = load_twin(out)
  images = np.random.default_rng(0).standard_normal((3, 16, 16, 3), np.float32)
  rows = torch.tensor(images).permute(0, 3, 1, 2)
  assert_close(network(rows).detach().numpy(), written.logits_of(small, images))
  # Back through a view of channels last, PyTorch 2.13 aborts now and then.
  network.train()(rows.contiguous()).sum().backward()
  assert all(p.grad is not None for p in network.parameters())


def test_the_module_is_written_where_pytorch_is_not_installed(
  tmp_path, monkeypatch
):
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, "find_spec", lambda name: name != "torch" and find(name)
  )
  ticket = make_ticket("resnet18", 16)
  out, said = export(ticket, tmp_path, "safetensors", in_front=True)
  assert "PyTorch is not installed here, so it was not run" in said[-2]
  text = (out / to_torch.FILE).read_text()
  assert '"in_front": True' in text and "sslprune_jax.exchange" not in text
  config = json.loads((out / "config.json").read_text())
  assert config["take_pixels"] == [to_torch.FILE]


def test_what_the_module_computes_otherwise_is_not_kept(tmp_path, monkeypatch):
  pytest.importorskip("torch")
  fill = to_torch._fill
  monkeypatch.setattr(
    to_torch, "_fill", lambda s: fill(s).replace("F.relu(y +", "(y +")
  )
  ticket = make_ticket("resnet18", 16)
  with pytest.raises(ValueError, match="model.py: found logits that differ"):
    export(ticket, tmp_path, "safetensors")
  assert not (tmp_path / "out").exists()


def fit_head(ticket):
  """Gives a ticket of digits a head whose predictions differ by image."""
  train = data.load(data.Spec("digits", "train"))
  rows = ticket.features(train.images)
  rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
  ridge = rows.T @ rows + np.eye(rows.shape[1])  # Else large ones cancel out.
  fitted = np.linalg.solve(ridge, rows.T @ np.eye(10)[train.labels])
  kernel, bias = np.float32(fitted[:-1]), np.float32(fitted[-1])
  head = {"kernel": kernel, "bias": bias}
  return dataclasses.replace(ticket, params=ticket.params | {"head": head})


@pytest.mark.parametrize(
  "task, in_front", [("labels", True), ("rotnet", False)]
)
def test_int8_is_calibrated_and_what_it_predicts_is_said(
  task, in_front, tmp_path
):
  onnxruntime = pytest.importorskip("onnxruntime")
  ticket = fit_head(draw_digits(task=task, width=1))
  out, said = export(ticket, tmp_path, "onnx", int8=True, in_front=in_front)
  session = onnxruntime.InferenceSession(str(out / onnx_int8.FILE))
  test = data.load(data.Spec("digits", "test"))
  pixels = test.images.astype(np.float32) / 255
  section = ticket.meta["config"]["dataset"]
  images = (pixels - np.float32(section["mean"])) / np.float32(section["std"])
  taken = pixels if in_front else images
  found = session.run(["logits"], to_onnx.feed(taken))[0].argmax(-1)
  own = written.logits_of(ticket, images).argmax(-1)
  words = "On the 359 test images of digits it predicts the same on "
  words += f"{100 * (found == own).mean():.2f} %"
  if task == "labels":
    right = [100 * (x == test.labels).mean() for x in (found, own)]
    words += f"; {right[0]:.2f} % are right, of the ticket's {right[1]:.2f} %."
  assert words in said[1]
  assert len(set(own)) > 5 and 0.5 < (found == own).mean() < 1
  card = (out / "README.md").read_text()
  assert said[1] in card
  if task == "labels":
    assert right[1] > 50
    assert f"test images of digits {right[1]:.2f} % are right." in card
  else:
    assert "are right" not in card
  config = json.loads((out / "config.json").read_text())
  both = [to_onnx.FILE, onnx_int8.FILE]
  assert config["take_pixels"] == (both if in_front else [])
  kernels = [
    t.data_type
    for t in pytest.importorskip("onnx")
    .load(out / onnx_int8.FILE)
    .graph.initializer
    if list(t.dims[2:]) == [3, 3]
  ]
  assert len(kernels) == 4 and set(kernels) == {3}  # INT8


def test_int8_without_onnx_is_refused(tmp_path):
  with pytest.raises(ValueError, match="--int8: found --format=flax, expected"):
    export(draw_digits(), tmp_path, "flax", int8=True)
  assert not (tmp_path / "out").exists()
