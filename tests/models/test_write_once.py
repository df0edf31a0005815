"""Tests of activations that are written once: on a CPU, and nowhere else."""

import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import pytest

from sslprune_jax import models
from sslprune_jax.models import layers, resnet
from sslprune_jax.runtime import devices

_BATCH = jax.ShapeDtypeStruct((1, 2, 8, 8, 3), jnp.float32)
_WAYS = {
  "pmap": lambda f: devices.pmap(f, in_axes=(None, 0), out_axes=None),
  "vmap": lambda f: jax.vmap(
    lambda *x: f(*x), (None, 0), None, axis_name=devices.AXIS
  ),
}


def _text(way, platform, bottleneck):
  """Returns the text of a network's gradient on a platform; runs nothing."""
  network = resnet.ResNet("small", (1, 1), bottleneck, "small", width=1 / 16)
  variables = jax.eval_shape(
    lambda: network.init(jax.random.key(0), jnp.zeros(_BATCH.shape[1:]), False)
  )

  def gradient(variables, images):
    def loss(params):
      found, _ = network.apply(
        {**variables, "params": params}, images, True, mutable="batch_stats"
      )
      return jnp.sum(found["features"] ** 2)

    gradients = jax.grad(loss)(variables["params"])
    return jax.lax.pmean(gradients, devices.AXIS)

  traced = jax.jit(_WAYS[way](gradient)).trace(variables, _BATCH)
  return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_text_for_an_accelerator_is_that_without_barriers(
  way, bottleneck, monkeypatch
):
  kinds = ("tpu", "cuda", "cpu")
  with_them = {kind: _text(way, kind, bottleneck) for kind in kinds}
  monkeypatch.setattr(layers._WRITE_ONCE, "bind", lambda x: x)
  for kind, text in with_them.items():
    assert "stablehlo.convolution" in text
    assert (text == _text(way, kind, bottleneck)) == (kind != "cpu")
  # An activation and its gradient, of the stem and all but the last convolution
  # of a block, and of its end.
  barriers = 2 * (1 + 2 * (3 if bottleneck else 2))
  assert with_them["cpu"].count("optimization_barrier") == barriers


@pytest.mark.parametrize(
  "name, written",
  [("convnet", 0), ("vgg16", 0), ("alexnet", 0), ("resnet18", 17)],
)
def test_networks_that_add_nothing_up_have_no_barriers(name, written):
  network = models.build(name, 2, width=1 / 16)
  jaxpr = jax.make_jaxpr(
    lambda: network.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), False)
  )()
  assert str(jaxpr).count("write_once") == written


def test_a_barrier_is_the_identity_and_so_is_its_gradient():
  x = jnp.arange(-3, 3, dtype=jnp.float32).reshape(3, 2)
  chex.assert_trees_all_equal(layers.write_once(x), x)
  for f in (layers.write_once, jax.jit(jax.vmap(layers.write_once))):
    found, gradient = jax.value_and_grad(lambda x, f=f: jnp.vdot(f(x), f(x)))(x)
    assert found == jnp.vdot(x, x)
    chex.assert_trees_all_equal(gradient, 2 * x)
    _, tangent = jax.jvp(f, (x,), (3 * x,))
    chex.assert_trees_all_equal(tangent, 3 * x)


_KEPT = """
from sslprune_jax.runtime import environment
environment.prepare()
import jax, jax.numpy as jnp
from sslprune_jax.models import layers, resnet
f = jax.jit(lambda x: layers.write_once(x + 1) * 2)
print(f.lower(jnp.ones(8)).compile().as_text().count("opt-barrier"))
"""


def test_xla_keeps_barriers_on_a_cpu():
  own = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  found = subprocess.check_output([sys.executable, "-c", _KEPT], env=own)
  assert int(found) > 0
