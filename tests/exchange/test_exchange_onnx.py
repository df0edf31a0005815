"""Tests of ONNX: what ONNX Runtime computes is what the ticket does."""

import importlib.util
import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_exchange_export import export, make_ticket
from test_exchange_shrink import assert_close, draw_ticket, prune

from sslprune_jax.config.networks import NETWORKS
from sslprune_jax.config.registry import Row
from sslprune_jax.exchange import heads, onnx_graph, shrink, to_onnx, written

needs_runtime = pytest.mark.skipif(
  not importlib.util.find_spec("onnxruntime"), reason="no ONNX Runtime"
)


def run(out, images):
  """Runs a file as its user does."""
  import onnxruntime

  session = onnxruntime.InferenceSession(str(out / to_onnx.FILE))
  rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
  return dict(
    zip(
      [o.name for o in session.get_outputs()],
      session.run(None, {"images": rows}),
      strict=True,
    )
  )


def kinds(out):
  import onnx

  return [node.op_type for node in onnx.load(out / to_onnx.FILE).graph.node]


def draw(side, count, channels=3):
  shape = (count, side, side, channels)
  return np.random.default_rng(1).standard_normal(shape, np.float32)


def check(ticket, folder, side):
  """Exports, and runs batches that the export did not."""
  out, said = export(ticket, folder, "onnx")
  images = draw(side, 3)
  for count in (1, 3):
    found = run(out, images[:count])
    assert found.keys() == {"features", "logits"}
    assert_close(found["logits"], written.logits_of(ticket, images)[:count])
  outputs = heads.network_of(ticket).apply(
    ticket.variables, images, train=False
  )
  assert_close(found["features"], np.asarray(outputs["features"]))
  assert said[0][2:] in (out / "README.md").read_text()
  return out


@needs_runtime
@pytest.mark.parametrize(
  "name, side, model",
  [
    ("convnet", 9, {"sobel": True}),
    ("resnet18", 16, {}),
    ("resnet18", 35, {"stem": "imagenet", "padding": "same"}),
    ("resnet18", 16, {"stem_padding": 2}),
    ("resnet50", 33, {}),
    pytest.param("resnet34", 32, {}, marks=pytest.mark.slow),
    pytest.param("resnet101", 32, {}, marks=pytest.mark.slow),
    ("vgg16", 45, {"batch_norm": "none"}),
    ("vgg19", 28, {}),
    ("vgg19_dense", 32, {}),
    ("alexnet", 95, {"sobel": True}),
    ("alexnet_stages", 70, {}),
    ("alexnet_torchvision", 64, {"batch_norm": "none"}),
    ("alexnet_rotnet", 63, {}),
  ],
)
def test_onnx_runtime_computes_what_each_network_does(
  name, side, model, tmp_path
):
  out = check(make_ticket(name, side, **model), tmp_path, side)
  if not model.get("sobel"):
    # Batch norm is in the layers, and all lies as convolutions want it.
    found = kinds(out)
    assert not {"Sub", "Mul", "ReduceMax"} & set(found), found
    assert found.count("Div") <= 1 and found.count("Transpose") <= 1, found
    assert found.count("Reshape") <= 1, found


@needs_runtime
def test_a_shrunk_ticket_of_uneven_widths_is_written(tmp_path):
  ticket, groups = draw_ticket("resnet18", 16)
  ticket.meta["config"]["dataset"] = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
  small = shrink.shrink(prune(ticket, groups)[0])
  check(small, tmp_path, 16)


class Plain(nn.Module):
  """What a user's network has of `models.build`'s fields."""

  width: float = 1.0
  dtype: Any = np.float32
  axis_name: str | None = None
  remat: bool = False


class Users(Plain):
  """What ours have not: other activations, norms, pools, joins, attention."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Conv(8, (3, 3), strides=2, padding="SAME", name="a")(x)
    x = nn.gelu(nn.GroupNorm(2, name="group_norm")(x))
    parts = jnp.split(x, 2, axis=-1)
    y = nn.Conv(8, (3, 3), feature_group_count=4, name="b")(parts[0])
    y = nn.silu(y) * nn.sigmoid(y.mean((1, 2), keepdims=True))  # As in SE.
    x = jnp.concatenate([nn.elu(y), jnp.tanh(parts[1]), x[:, ::-1]], -1)
    x = nn.avg_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
    x = jnp.pad(x, ((0, 0), (1, 0), (0, 1), (0, 0)), constant_values=0.5)
    rows = x.reshape(x.shape[0], -1, x.shape[-1])
    rows = nn.LayerNorm(name="layer_norm")(rows)
    heads = jnp.einsum("bnc,bmc->bnm", rows, rows)
    rows = jax.nn.softmax(heads / 4) @ rows
    rows = jnp.where(rows > 0, rows, 0.1 * rows**3) + jax.nn.softplus(rows)
    return {"features": jnp.clip(rows, -3, 3).max(1)}


class Maxout(Plain):
  """Maxima over parts of axes that no window of images is."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Conv(8, (3, 3), name="a")(x)
    few = x.reshape(*x.shape[:3], 2, 2, 2).max((-1, -2))
    one = x.mean((1, 2), keepdims=True)
    pooled = one.reshape(-1, 1, 1, 4, 2).max(-1).reshape(-1, 4)
    one = one.reshape(-1, 8).reshape(-1, 4, 2).max(-1)
    return {"features": jnp.concatenate([few.mean((1, 2)), pooled, one], -1)}


class Sorts(Plain):
  @nn.compact
  def __call__(self, x, train):
    x = nn.Dense(4, name="dense")(x.mean((1, 2)))
    return {"features": jnp.sort(x, axis=1)}


class Enlarges(Plain):
  @nn.compact
  def __call__(self, x, train):
    x = nn.ConvTranspose(4, (2, 2), strides=(2, 2), name="up")(x)
    return {"features": x.mean((1, 2))}


class Counts(Plain):
  @nn.compact
  def __call__(self, x, train):
    x = nn.Dense(4, name="dense")(x.mean((1, 2)))
    return {"features": x * x.shape[0]}


class OfOneBatch(Plain):
  @nn.compact
  def __call__(self, x, train):
    return {"features": nn.Dense(4, name="dense")(x.reshape(len(x), -1))}


def add_network(monkeypatch, kind):
  row = Row(kind.__name__, f"{__name__}:{kind.__name__}")
  monkeypatch.setitem(NETWORKS._rows, row.name, row)
  return make_ticket(row.name, 12)


@needs_runtime
@pytest.mark.parametrize("kind", [Users, Maxout])
def test_a_users_network_is_written_primitive_by_primitive(
  kind, tmp_path, monkeypatch
):
  check(add_network(monkeypatch, kind), tmp_path, 12)


@needs_runtime
@pytest.mark.parametrize(
  "kind, words",
  [
    (Sorts, "ONNX has no words for .the primitive sort has no rule"),
    (Counts, "ONNX has no words for .the primitive dim_as_value fails"),
    (OfOneBatch, "does not trace for a batch of any size"),
    (Enlarges, "ONNX has no words for .a convolution is a transposed one"),
  ],
)
def test_what_it_has_no_words_for_is_named(kind, words, tmp_path, monkeypatch):
  ticket = add_network(monkeypatch, kind)
  with pytest.raises(
    ValueError, match=f"format=onnx: found a network that .*{words}"
  ):
    export(ticket, tmp_path, "onnx")
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_without_the_extra_it_is_named(module, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "onnx", sys.modules[__name__])
  monkeypatch.setitem(sys.modules, "onnxruntime", sys.modules[__name__])
  monkeypatch.setitem(sys.modules, module, None)
  ticket = make_ticket("convnet", 8)
  with pytest.raises(
    ValueError, match=f"found no {module}, .*install 'sslprune-jax.onnx.'"
  ):
    export(ticket, tmp_path, "onnx")
  assert not (tmp_path / "out").exists()


@needs_runtime
def test_wrong_folding_is_seen(tmp_path, monkeypatch):
  fold = onnx_graph.Graph._fold

  def forget(graph, node, layer):
    return node.kind == "Sub" or fold(graph, node, layer)

  monkeypatch.setattr(onnx_graph.Graph, "_fold", forget)
  with pytest.raises(ValueError, match="model.onnx: found logits that differ"):
    export(make_ticket("convnet", 8), tmp_path, "onnx")
  assert not (tmp_path / "out").exists()


@needs_runtime
def test_what_onnx_runtime_refuses_is_one_line(tmp_path):
  (tmp_path / "x.onnx").write_bytes(b"nonsense")
  with pytest.raises(ValueError, match="x.onnx: found a file that ONNX Runt"):
    to_onnx.load(tmp_path / "x.onnx")
