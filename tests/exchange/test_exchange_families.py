"""Networks of others, in the layouts of their files, compute what they did."""

import collections
import importlib
import re

import numpy as np
import pytest
import torch_models  # Skips all of this file where there is no PyTorch.

from sslprune_jax import models
from sslprune_jax.exchange import fitting, importing

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

_RESNETS = {
  "resnet18": ((2, 2, 2, 2), False),
  "resnet34": ((3, 4, 6, 3), False),
  "resnet50": ((3, 4, 6, 3), True),
  "resnet101": ((3, 4, 23, 3), True),
}
_NARROW = 8  # Channels of the stem.


def _resnet(name="resnet18", width=_NARROW, **options):
  return torch_models.draw(
    torch_models.ResNet(*_RESNETS[name], width=width, **options)
  )


def _prefixed(prefix, state):
  return {f"{prefix}{name}": value for name, value in state.items()}


def _to_hf(name):
  name = re.sub(r"^conv1\.", "embedder.embedder.convolution.", name)
  name = re.sub(r"^bn1\.", "embedder.embedder.normalization.", name)
  name = re.sub(r"^fc\.", "classifier.1.", name)
  match = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name)
  if not match:
    return name
  rest = match[3].replace("downsample.0", "shortcut.convolution")
  rest = rest.replace("downsample.1", "shortcut.normalization")
  for ours, theirs in (("conv", "convolution"), ("bn", "normalization")):
    rest = re.sub(
      rf"^{ours}(\d)", lambda m, t=theirs: f"layer.{int(m[1]) - 1}.{t}", rest
    )
  return f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}.{rest}"


def _hf(state):
  renamed = {_to_hf(name): value for name, value in state.items()}
  return {
    name if name.startswith("classifier") else f"resnet.{name}": value
    for name, value in renamed.items()
  }


def _numbered(state):
  numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5"}
  numbers |= {"layer3": "6", "layer4": "7"}
  return {
    f"{numbers[name.split('.')[0]]}.{name.partition('.')[2]}": value
    for name, value in state.items()
    if not name.startswith("fc.")
  }


def _without_fc(state):
  return {k: v for k, v in state.items() if not k.startswith("fc.")}


def _with_projector(state):
  return {**_without_fc(state), "fc.0.weight": torch.rand(4, 4)}


def _moco(state, base="encoder_q", other="encoder_k"):
  random = {k: torch.rand_like(v.float()) for k, v in state.items()}
  return {
    "epoch": 200,
    "arch": "resnet50",
    "state_dict": {
      **_prefixed(f"module.{other}.", random),
      **_prefixed(f"module.{base}.", _with_projector(state)),
      "module.queue": torch.rand(128, 100),
      "module.queue_ptr": torch.tensor([3]),
    },
    "optimizer": {"state": {0: {"momentum_buffer": torch.rand(3, 3)}}},
  }


def _dino(state):
  random = {k: torch.rand_like(v.float()) for k, v in state.items()}
  heads = {"head.mlp.0.weight": torch.rand(4, 4)}
  return {
    "student": _prefixed("module.", {
      **_prefixed("backbone.", _without_fc(random)), **heads}),
    "teacher": {**_prefixed("backbone.", _without_fc(state)), **heads},
    "epoch": 1,
    "args": torch.device("cpu"),
  }  # fmt: skip


def _vissl(state):
  trunk = _prefixed("_feature_blocks.", _without_fc(state))
  heads = {"0.clf.0.weight": torch.rand(5, 5)}
  model = {"model": {"trunk": trunk, "heads": heads}}
  return {"classy_state_dict": {"base_model": model}, "config": {"a": 1}}


def _cv_lth(state):
  found = {}
  for name, value in state.items():
    if value.dim() == 4 and not name.startswith("conv1"):
      mask = (torch.rand_like(value) < 0.3).float()
      found[f"{name}_orig"] = value
      found[f"{name}_mask"] = mask
    else:
      found[name] = value
  return {"state_dict": _prefixed("module.", found)}


# Family -> the file of a network, of torchvision's state_dict.
_WRAPPERS = {
  "torchvision": lambda state: state,
  "timm": lambda state: state,
  "hugging face": _hf,
  "hugging face, trunk": lambda s: {
    _to_hf(k): v for k, v in _without_fc(s).items()
  },
  "moco v1, v2": _moco,
  "moco v3": lambda s: _moco(s, "base_encoder", "momentum_encoder"),
  "simsiam": lambda s: {
    "state_dict": {
      **_prefixed("module.encoder.", _with_projector(s)),
      "module.predictor.0.weight": torch.rand(4, 4),
    }
  },
  "swav": lambda s: {
    **_prefixed("module.", _without_fc(s)),
    "module.projection_head.0.weight": torch.rand(4, 4),
    "module.prototypes.weight": torch.rand(4, 4),
  },
  "barlow twins": lambda s: {
    "model": {
      **_prefixed("module.backbone.", _without_fc(s)),
      "module.projector.0.weight": torch.rand(4, 4),
      "module.bn.running_mean": torch.rand(4),
    }
  },
  "vicreg": _without_fc,
  "dino, backbone": _without_fc,
  "dino": _dino,
  "obow": lambda s: {"network": s},
  "vissl": _vissl,
  "simclr-converter": lambda s: {"state_dict": s},
  "sthalles": lambda s: {
    "state_dict": _prefixed("backbone.", _with_projector(s))
  },
  "solo-learn": lambda s: {
    "state_dict": {
      **_prefixed("momentum_backbone.", {
        k: torch.rand_like(v.float()) for k, v in _without_fc(s).items()}),
      **_prefixed("backbone.", _without_fc(s)),
      "projector.0.weight": torch.rand(4, 4),
    }
  },
  "lightly": lambda s: {"state_dict": _prefixed("backbone.", _numbered(s))},
  "cv_lth": _cv_lth,
}  # fmt: skip


def _import(tree, path, seen=None, **options):
  """Writes a file as its authors would, and reads it."""
  torch.save(tree, path)
  return importing.import_checkpoint(path, seen or fitting.Input(), **options)


def _outputs(imported, images):
  """Returns what the imported network gives for f32[N,C,H,W]."""
  ticket = imported.ticket
  network = ticket.network(None if "head" in ticket.params else 1)
  if "head" not in ticket.params:
    network = models.without_head(network)
  rows = images.permute(0, 2, 3, 1).numpy()
  return network.apply(ticket.variables, rows, train=False)


def _same(found, expected):
  expected = expected.detach().numpy()
  scale = np.abs(expected).max()
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def _check(imported, network, size, inputs=3):
  images = torch.randn(2, inputs, size, size)
  found = _outputs(imported, images)
  with torch.no_grad():
    if "head" in imported.ticket.params:
      _same(found["logits"], network(images))
    elif isinstance(network, torch_models.ResNet):
      _same(found["features"], network.features(images))
  return found


@pytest.mark.parametrize("family", _WRAPPERS)
def test_a_resnet_of_every_project_is_read(family, tmp_path):
  network = _resnet()
  tree = _WRAPPERS[family](network.state_dict())
  imported = _import(tree, tmp_path / "file.pth")
  ticket = imported.ticket
  assert ticket.meta["config"]["model"]["name"] == "resnet18"
  assert ticket.meta["config"]["model"]["width"] == _NARROW / 64
  if family == "cv_lth":
    masks = tree["state_dict"]
    for name in list(masks):
      if name.endswith("_mask"):
        orig = name.replace("_mask", "_orig")
        masks[orig] = masks[orig] * masks[name]
    state = {
      name.removeprefix("module.").replace("_orig", ""): value
      for name, value in masks.items()
      if not name.endswith("_mask")
    }
    network.load_state_dict(state)
    kept = ticket.masks["trunk"]["stage1"]["block1"]["conv1"]["conv"]["kernel"]
    assert 0.2 < kept.mean() < 0.4
    assert ticket.masks["trunk"]["stem"]["conv"]["kernel"].all()
  for size in (64, 65):
    _check(imported, network, size)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_every_container_holds_the_same_network(form, tmp_path):
  network, path = _resnet(), tmp_path / "file"
  if form == "safetensors":
    safetensors_torch.save_file(network.state_dict(), path)
  else:
    zipped = form == "zip"
    torch.save(
      network.state_dict(), path, _use_new_zipfile_serialization=zipped
    )
  imported = importing.import_checkpoint(path, fitting.Input())
  _check(imported, network, 64)


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101"])
def test_depth_is_read_off(name, tmp_path):
  network = _resnet(name)
  imported = _import(network.state_dict(), tmp_path / "file.pth")
  assert imported.ticket.meta["config"]["model"]["name"] == name
  _check(imported, network, 65)


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 225])
def test_a_resnet50_of_full_size_is_torchvisions(size, tmp_path):
  network = _resnet("resnet50", width=64, outputs=1000)
  imported = _import(network.state_dict(), tmp_path / "file.pth")
  _check(imported, network, size)


@pytest.mark.parametrize("padding", [1, 2])
def test_small_stems_are_read_and_padded_as_is_said(padding, tmp_path):
  network = _resnet(small=True, padding=padding)
  seen = fitting.Input(stem_padding=padding)
  imported = _import(network.state_dict(), tmp_path / "file.pth", seen)
  assert imported.ticket.meta["image_shape"] == [32, 32, 3]
  _check(imported, network, 32)


def test_of_two_networks_the_first_choice_is_taken_and_said(tmp_path):
  network = _resnet()
  imported = _import(_moco(network.state_dict()), tmp_path / "file.pth")
  assert imported.ticket.meta["source"]["prefix"] == (
    "state_dict.module.encoder_q."
  )
  said = "\n".join(imported.said)
  assert "behind 'state_dict.module.encoder_k.': choose by --prefix" in said
  assert "state_dict.module.queue (1)" in said and "optimizer (1)" in said
  other = _import(
    _moco(network.state_dict()), tmp_path / "file.pth", prefix="encoder_k"
  )
  assert other.ticket.meta["source"]["prefix"].endswith("encoder_k.")
  with pytest.raises(
    ValueError, match="no network behind 'teacher'.*encoder_q"
  ):
    _import(_moco(network.state_dict()), tmp_path / "f.pth", prefix="teacher")


def test_a_network_that_reads_blue_first_is_turned(tmp_path):
  network = _resnet()
  seen = fitting.Input(bgr=True)
  imported = _import(network.state_dict(), tmp_path / "file.pth", seen)
  images = torch.randn(2, 3, 64, 64)
  found = _outputs(imported, images)["logits"]
  _same(found, network(images.flip(1)))


def test_masks_in_a_file_of_their_own_are_the_tickets(tmp_path):
  """open_lth: weights and masks by the same names."""
  network = _resnet()
  masks = {
    f"model.{name}": (torch.rand_like(value) < 0.5).int()
    for name, value in network.state_dict().items()
    if value.dim() == 4
  }
  torch.save(masks, tmp_path / "mask.pth")
  imported = _import(
    _prefixed("model.", network.state_dict()),
    tmp_path / "model_ep1_it0.pth",
    masks=tmp_path / "mask.pth",
  )
  state = {
    name: value * masks.get(f"model.{name}", 1)
    for name, value in network.state_dict().items()
  }
  network.load_state_dict(state)
  _check(imported, network, 64)
  kernel = imported.ticket.masks["trunk"]["stem"]["conv"]["kernel"]
  expected = masks["model.conv1.weight"].permute(2, 3, 1, 0).numpy()
  np.testing.assert_array_equal(kernel, expected.astype(bool))


def test_a_file_of_masks_alone_is_read_by_their_own_names(tmp_path):
  """CV_LTH: `weight_mask` of all but the first convolution."""
  network = _resnet()
  masks = {
    f"module.{name}_mask": (torch.rand_like(value) < 0.5).float()
    for name, value in network.state_dict().items()
    if value.dim() == 4 and not name.startswith("conv1")
  }
  torch.save({"state_dict": masks}, tmp_path / "mask.pth")
  imported = _import(
    {"state_dict": _prefixed("module.", network.state_dict())},
    tmp_path / "model.pth",
    masks=tmp_path / "mask.pth",
  )
  trunk = imported.ticket.masks["trunk"]
  assert trunk["stem"]["conv"]["kernel"].all()
  expected = masks["module.layer2.0.conv1.weight_mask"].permute(2, 3, 1, 0)
  np.testing.assert_array_equal(
    trunk["stage2"]["block1"]["conv1"]["conv"]["kernel"], expected.numpy() != 0
  )


def test_masks_of_what_is_never_pruned_are_zeros_too(tmp_path):
  """torch.nn.utils.prune on a batch norm and on the head."""
  prune = importlib.import_module("torch.nn.utils.prune")
  network = _resnet()
  for module in (network.bn1, network.fc):
    prune.random_unstructured(module, "weight", amount=0.5)
  imported = _import(network.state_dict(), tmp_path / "file.pth")
  assert "head" in imported.ticket.params
  _check(imported, network, 64)
  assert imported.ticket.masks["trunk"]["stem"]["bn"]["scale"].ndim == 0


@pytest.mark.parametrize(
  ("family", "name"),
  [
    ("lightly", "state_dict.backbone.4.0.se.fc1.weight"),
    ("lightly", "state_dict.backbone.4.2.gamma"),
    ("hugging face",
     "resnet.encoder.stages.0.layers.0.layer.attention.0.weight"),
  ],
)  # fmt: skip
def test_parts_that_ours_do_not_have_are_refused_in_any_layout(
  family, name, tmp_path
):
  tree = _WRAPPERS[family](_resnet().state_dict())
  where = tree.get("state_dict", tree)
  where[name.removeprefix("state_dict.")] = torch.rand(4, 4)
  with pytest.raises(ValueError, match=f"{name}: found it in the trunk"):
    _import(tree, tmp_path / "file.pth")


def test_a_head_that_is_left_is_said(tmp_path):
  network = _resnet()
  state = network.state_dict()
  del state["fc.bias"]
  imported = _import(state, tmp_path / "file.pth")
  assert "left, as no linear head of ours: fc.weight" in imported.said
  _check(imported, network, 64)


_ROWS = {
  "vgg16": lambda: torch_models.vgg((2, 2, 3, 3, 3), False, 8, 512),
  "vgg16_bn": lambda: torch_models.vgg((2, 2, 3, 3, 3), True, 8, 512),
  "vgg19": lambda: torch_models.vgg((2, 2, 4, 4, 4), False, 8, 512),
  "vgg19_bn": lambda: torch_models.vgg((2, 2, 4, 4, 4), True, 8, 512),
  "alexnet": lambda: torch_models.alexnet((64, 192, 384, 256, 256), False),
}


@pytest.mark.parametrize("name", _ROWS)
def test_networks_with_dense_layers_are_torchvisions(name, tmp_path):
  network = torch_models.draw(_ROWS[name]())
  imported = _import(network.state_dict(), tmp_path / "file.pth")
  norm = imported.ticket.meta["config"]["model"]["batch_norm"]
  assert norm == ("device" if "bn" in name else "none")
  for size in (224, 225):
    _check(imported, network, size)


def _timm_vgg(state):
  names = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2"}
  names["classifier.6"] = "head.fc"
  found = {}
  for name, value in state.items():
    layer, _, leaf = name.rpartition(".")
    if leaf == "weight" and layer == "classifier.0":
      value = value.reshape(len(value), -1, 7, 7)
    if leaf == "weight" and layer == "classifier.3":
      value = value[:, :, None, None]
    found[f"{names.get(layer, layer)}.{leaf}"] = value
  return found


def test_timms_vgg_is_read(tmp_path):
  network = torch_models.draw(_ROWS["vgg16_bn"]())
  tree = _timm_vgg(network.state_dict())
  _check(_import(tree, tmp_path / "file.pth"), network, 224)


def _deepcluster(state):
  """DataParallel on the convolutions, and a top layer."""
  last = max(int(k.split(".")[1]) for k in state if k.startswith("classifier"))
  found = collections.OrderedDict()
  for name, value in state.items():
    name = name.replace("features.", "features.module.")
    found[name.replace(f"classifier.{last}.", "top_layer.")] = value
  found["sobel.0.weight"] = torch.rand(1, 3, 1, 1)
  return {"state_dict": found, "epoch": 1, "arch": "alexnet"}


def test_deepclusters_networks_are_read_behind_edges(tmp_path):
  channels = (96, 256, 384, 384, 256)
  network = torch_models.draw(torch_models.alexnet(channels, True, inputs=2))
  imported = _import(_deepcluster(network.state_dict()), tmp_path / "f.pth.tar")
  model = imported.ticket.meta["config"]["model"]
  assert model["name"] == "alexnet" and model["sobel"]
  images = torch.randn(2, 3, 224, 224)
  edges = models.layers.sobel(images.permute(0, 2, 3, 1).numpy())
  edges = torch.tensor(np.array(edges)).permute(0, 3, 1, 2)
  _same(_outputs(imported, images)["logits"], network(edges))


def test_vissls_alexnet_is_read_without_dense_layers(tmp_path):
  channels = (96, 256, 384, 384, 256)
  network = torch_models.draw(torch_models.alexnet(channels, True, inputs=2))
  blocks = {"0": "0", "4": "2", "8": "4", "11": "5", "14": "6"}
  trunk = {}
  for name, value in network.state_dict().items():
    part, number, leaf = (*name.split("."), "")[:3]
    if part == "features" and number in blocks:
      trunk[f"_feature_blocks.{blocks[number]}.0.{leaf}"] = value
    elif part == "features":
      at = blocks[str(int(number) - 1)]
      trunk[f"_feature_blocks.{at}.1.{leaf}"] = value
  tree = {"classy_state_dict": {"base_model": {"model": {"trunk": trunk}}}}
  imported = _import(tree, tmp_path / "file.torch")
  model = imported.ticket.meta["config"]["model"]
  assert model["name"] == "alexnet_stages" and model["sobel"]
  images = torch.randn(2, 3, 224, 224)
  edges = models.layers.sobel(images.permute(0, 2, 3, 1).numpy())
  edges = torch.tensor(np.array(edges)).permute(0, 3, 1, 2)
  expected = network.features(edges).permute(0, 2, 3, 1).flatten(1)
  _same(_outputs(imported, images)["features"], expected)


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (lambda s: {k: v for k, v in s.items() if "layer3.1.conv2" not in k},
     "trunk/stage3/block2/conv2/conv/kernel: found nothing for it"),
    (lambda s: {k: v for k, v in s.items() if "layer4.1" not in k},
     r"found a ResNet of \[2, 2, 2, 1\] basic blocks, expected one of"),
    (lambda s: {**s, "layer1.0.se.fc.weight": torch.rand(2)},
     "layer1.0.se.fc.weight: found it in the trunk"),
    (lambda s: {**s, "conv1.bias": torch.rand(8)},
     "conv1.bias: found it in the trunk"),
    (lambda s: {**s, "layer1.0.downsample.0.weight": torch.rand(8, 8, 1, 1)},
     "layer1.0.downsample.0.weight: found it in the trunk"),
    (lambda s: {**s, "layer2.0.conv1.weight": torch.rand(16, 4, 3, 3)},
     r"layer2.0.conv1.weight of shape \(16, 4, 3, 3\).*\(3, 3, 8, 16\)"),
    (lambda s: {**s, "bn1.weight": s["bn1.weight"] * float("nan")},
     "bn1.weight: found NaN"),
    (lambda s: {k.replace("conv1", "conv1.0") if k.startswith("conv1") else k: v
                for k, v in s.items()}, "conv1.weight: found none"),
    (lambda s: {"visual.stem.weight": torch.rand(3)}, "no network of a known"),
    (lambda s: {"model": torch.device("cpu")}, "no arrays; of a pickled"),
    (lambda s: {**s, "bn1.running_var": -s["bn1.running_var"]}, "below 0"),
    (lambda s: {**s, "conv1.weight": s["conv1.weight"].to(torch.int8)},
     "conv1.weight: found int8, expected real numbers"),
    (lambda s: {**s, "conv1.weight": s["conv1.weight"][:, :1].clone()},
     "a network of 1 channels, and --mean of 3"),
    (lambda s: {**s, "conv1.weight_mask": s["conv1.weight"]},
     "numbers that are not 0 or 1"),
  ],
)  # fmt: skip
def test_what_ours_cannot_hold_is_refused_with_the_reason(
  change, words, tmp_path
):
  with pytest.raises(ValueError, match=words):
    _import(change(_resnet().state_dict()), tmp_path / "file.pth")
