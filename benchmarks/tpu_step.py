"""What masks cost on a TPU, and our step beside that of flax's example.

  pip install -e '.[tpu]'
  python benchmarks/tpu_step.py      # by compiling only, no TPU: 10 minutes

ResNet-50 in bfloat16, 128 images a chip. Three steps for v5e:2x4: ours; ours
without the two selects by the mask; and the step of flax's ImageNet example,
written here after it: its network, loss with weight decay, SGD with Nesterov
momentum and cross-replica mean of gradients. It reads images that its host has
flipped and normalised, in bfloat16; so that both do the same, it is compiled a
second time on bytes, which it flips and normalises as ours does. Then ours for
256 chips, which should be the same a chip.
"""

import functools
import json
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from sslprune_jax import data
from sslprune_jax.config import recipes
from sslprune_jax.preflight import chips, outlines
from sslprune_jax.preflight.compiled import (
  compile_once,
  lower_step,
  step_shapes,
)
from sslprune_jax.pruning import masks
from sslprune_jax.runtime import environment
from sslprune_jax.study.images import StudyData
from sslprune_jax.study.trainers import Trainers

_PER_CHIP = 128
_MEASURES = ("flops", "traffic", "cycles", "needed", "exchanged")


def ours(devices):
  """Lowers our step for devices of another machine."""
  config = recipes.study("labels", "imagenet2012")
  config.train.batch_size = _PER_CHIP * len(devices)
  config.retrain.rounds = ()

  images = StudyData(config, outlines.Outline)
  training = Trainers(config, images, {}).pretext["labels"]
  state, batch = step_shapes(training, images.train, len(devices))
  return lower_step(training, state, batch, devices)


class _Bottleneck(nn.Module):
  filters: int
  strides: tuple[int, int] = (1, 1)
  conv: object = None
  norm: object = None

  @nn.compact
  def __call__(self, x):
    y = nn.relu(self.norm()(self.conv(self.filters, (1, 1))(x)))
    y = self.conv(self.filters, (3, 3), self.strides)(y)
    y = self.conv(4 * self.filters, (1, 1))(nn.relu(self.norm()(y)))
    y = self.norm(scale_init=nn.initializers.zeros_init())(y)
    if x.shape != y.shape:
      x = self.conv(4 * self.filters, (1, 1), self.strides)(x)
      x = self.norm()(x)
    return nn.relu(x + y)


class _ResNet50(nn.Module):
  @nn.compact
  def __call__(self, x, train):
    conv = functools.partial(nn.Conv, use_bias=False, dtype=jnp.bfloat16)
    norm = functools.partial(
      nn.BatchNorm,
      use_running_average=not train,
      momentum=0.9,
      epsilon=1e-5,
      dtype=jnp.bfloat16,
    )
    x = conv(64, (7, 7), (2, 2), padding=[(3, 3), (3, 3)])(x)
    x = nn.max_pool(nn.relu(norm()(x)), (3, 3), (2, 2), padding="SAME")
    for i, count in enumerate((3, 4, 6, 3)):
      for j in range(count):
        strides = (2, 2) if i > 0 and j == 0 else (1, 1)
        x = _Bottleneck(64 * 2**i, strides, conv, norm)(x)
    return nn.Dense(1000, dtype=jnp.bfloat16)(x.mean((1, 2)))


def flax_example(devices, from_bytes):
  """Lowers the step of flax's ImageNet example.

  Args:
    devices: of another machine.
    from_bytes: whether it flips and normalises images itself.
  """
  network = _ResNet50()
  optimizer = optax.sgd(0.1, momentum=0.9, nesterov=True)

  def step(state, batch):
    image = batch["image"]
    if from_bytes:
      keys = jax.random.split(jax.random.key(state["step"]), len(image))
      image = data.normalise(
        data.Augment(flip=True)(keys, image),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
      ).astype(jnp.bfloat16)

    def loss_of(params):
      logits, updated = network.apply(
        {"params": params, "batch_stats": state["batch_stats"]},
        image,
        train=True,
        mutable=["batch_stats"],
      )
      logits = logits.astype(jnp.float32)
      labels = jax.nn.one_hot(batch["label"], 1000)
      loss = optax.softmax_cross_entropy(logits, labels).mean()
      squares = [jnp.sum(x**2) for x in jax.tree.leaves(params) if x.ndim > 1]
      loss = loss + 0.5 * 1e-4 * sum(squares)
      return loss, (logits, updated["batch_stats"])

    gradients, (logits, batch_stats) = jax.grad(loss_of, has_aux=True)(
      state["params"]
    )
    gradients = jax.lax.pmean(gradients, "batch")
    right = jnp.mean(logits.argmax(-1) == batch["label"])
    metrics = jax.lax.pmean({"accuracy": right}, "batch")
    updates, moments = optimizer.update(
      gradients, state["moments"], state["params"]
    )
    state = {
      "step": state["step"] + 1,
      "params": optax.apply_updates(state["params"], updates),
      "batch_stats": batch_stats,
      "moments": moments,
    }
    return state, metrics

  variables = jax.eval_shape(
    lambda: network.init(
      jax.random.key(0), jnp.zeros((1, 224, 224, 3)), train=False
    )
  )
  state = {
    **variables,
    "step": jax.ShapeDtypeStruct((), jnp.int32),
    "moments": jax.eval_shape(optimizer.init, variables["params"]),
  }
  # Each device has statistics of its own there.
  axes = {"step": None, "params": None, "batch_stats": 0, "moments": None}
  rows = len(devices), _PER_CHIP
  state["batch_stats"] = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((rows[0], *x.shape), x.dtype),
    state["batch_stats"],
  )
  batch = {
    "image": jax.ShapeDtypeStruct(
      (*rows, 224, 224, 3), jnp.uint8 if from_bytes else jnp.bfloat16
    ),
    "label": jax.ShapeDtypeStruct(rows, jnp.int32),
  }
  return jax.pmap(
    step,
    axis_name="batch",
    in_axes=(axes, 0),
    out_axes=(axes, None),
    donate_argnums=0,
    devices=devices,
  ).lower(state, batch)


def main():
  """Compiles all, and prints a line of JSON for each and the ratios."""
  jax.config.update("jax_platforms", "cpu")
  found = {}

  def add(name, lowered, topology):
    cache = environment.cache_folder() / "preflight"
    compiled, _ = compile_once(lowered, topology, cache)
    found[name] = {of: getattr(compiled, of) for of in _MEASURES}
    print(json.dumps({"step": name, "topology": topology, **found[name]}))

  few = chips.devices("v5e:2x4")
  add("ours", ours(few), "v5e:2x4")
  with mock.patch.object(masks, "apply", lambda masks, tree: tree):
    add("without masks", ours(few), "v5e:2x4")
  add("flax example", flax_example(few, from_bytes=False), "v5e:2x4")
  add("flax, from bytes", flax_example(few, from_bytes=True), "v5e:2x4")
  add("256 chips", ours(chips.devices("v5e:16x16")), "v5e:16x16")
  for name in list(found)[1:]:
    ratios = {
      of: round(found["ours"][of] / found[name][of], 4) for of in _MEASURES[:-1]
    }
    print(json.dumps({"ours over": name, **ratios}))


if __name__ == "__main__":
  main()
