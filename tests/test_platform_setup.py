"""What is set before JAX starts, in processes of their own."""

import os
import platform
import subprocess
import sys

import jax
import pytest

from sslprune_jax.runtime import environment

_FAULTS = """
import resource
from sslprune_jax.runtime import environment

environment.prepare()
import jax
import jax.numpy as jnp
from sslprune_jax import models
from sslprune_jax.training import state

network = models.build("convnet", 10)
variables = state.initialize(network, (28, 28, 1), jax.random.key(0))

@jax.jit
def gradient(params, image):
  def loss(params):
    found, _ = network.apply(
      {**variables, "params": params}, image, train=True, mutable="batch_stats"
    )
    return (found["logits"] ** 2).sum()
  return jax.grad(loss)(params)

def faults(updates):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  for _ in range(updates):
    jax.block_until_ready(gradient(variables["params"], image))
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

image = jnp.ones((128, 28, 28, 1))
faults(3)  # Takes the memory.
print(faults(10))
"""


def _page_faults(**env):
  unset = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(environment.MALLOC)
  }
  done = subprocess.run(
    [sys.executable, "-c", _FAULTS],
    env={**unset, "JAX_PLATFORMS": "cpu", **env},
    capture_output=True,
    text=True,
    check=True,
  )
  return int(done.stdout)


@pytest.mark.skipif(
  platform.libc_ver()[0] != "glibc", reason="sets glibc's malloc"
)
def test_updates_on_a_cpu_use_their_memory_again_unless_the_user_has_set_it():
  assert _page_faults() < _page_faults(MALLOC_PERTURB_="0") / 3


def test_a_host_with_an_accelerator_is_told_by_its_files(monkeypatch):
  before = jax.config.jax_platforms
  try:
    jax.config.update("jax_platforms", None)
    monkeypatch.setattr(environment, "_ACCELERATORS", ("nothing", "nul*"))
    assert not environment._is_cpu()
    monkeypatch.setattr(environment, "_ACCELERATORS", ("nothing",))
    assert environment._is_cpu()
    monkeypatch.setattr(environment, "_ACCELERATORS", ("nul*",))
    jax.config.update("jax_platforms", "cpu")
    assert environment._is_cpu()
  finally:
    jax.config.update("jax_platforms", before)
