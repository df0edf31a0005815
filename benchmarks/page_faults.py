"""How many pages of memory does an update on a CPU wait for?

  python benchmarks/page_faults.py

Gradients of the convnet on 128 images of 28 x 28, in two processes: one keeps
its memory, as `environment.prepare` sets it, and in the other a variable of
malloc's is set, so that `prepare` leaves memory alone. Of each a line of JSON:
the page faults that needed no disk (`ru_minflt`), the mean of ten updates after
three.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys

_PACKAGE = pathlib.Path(__file__).parent.parent
_FIRST, _UPDATES = 3, 10  # The first ones take the memory.
_LEFT = {"MALLOC_PERTURB_": "0"}  # What malloc does without it.


def _faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def measure():
  """Returns the page faults of an update in this process, a mean."""
  from sslprune_jax import models
  from sslprune_jax.runtime import environment
  from sslprune_jax.training import state

  environment.prepare()
  import jax
  import jax.numpy as jnp

  network = models.build("convnet", 10)
  variables = state.initialize(network, (28, 28, 1), jax.random.key(0))

  @jax.jit
  def gradient(params, image):
    def loss(params):
      found, _ = network.apply(
        {**variables, "params": params},
        image,
        train=True,
        mutable="batch_stats",
      )
      return (found["logits"] ** 2).sum()

    return jax.grad(loss)(params)

  def run(updates):
    for _ in range(updates):
      jax.block_until_ready(gradient(variables["params"], image))

  image = jnp.ones((128, 28, 28, 1))
  run(_FIRST)
  before = _faults()
  run(_UPDATES)
  return (_faults() - before) / _UPDATES


def measure_all():
  """Measures both in processes of their own; yields what was found."""
  from sslprune_jax.runtime import environment

  unset = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(environment.MALLOC)
  }
  for memory, more in {"kept": {}, "left to malloc": _LEFT}.items():
    answer = subprocess.run(
      [sys.executable, __file__, memory],
      stdout=subprocess.PIPE,
      check=True,
      env={
        **unset,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(_PACKAGE),
        **more,
      },
    ).stdout
    yield {"memory": memory, "faults": json.loads(answer)}


def main():
  """Prints a line of JSON for each way of taking memory."""
  if sys.argv[1:]:
    print(json.dumps(measure()))
  else:
    for found in measure_all():
      print(json.dumps(found), flush=True)


if __name__ == "__main__":
  main()
