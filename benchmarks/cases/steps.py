"""The training step: beside PyTorch's, without masks, without augmentation."""

import functools

import numpy as np

BATCH = 128
_SHAPES = {"convnet": (28, 28, 1), "resnet18": (32, 32, 3)}
_CLASSES, _RATE, _DECAY = 10, 0.01, 1e-4


def _batch(shape, size=BATCH):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (size, *shape), np.uint8)
  return images, rng.integers(0, _CLASSES, size).astype(np.int32)


def variables_of(name, shape, classes=_CLASSES, width=1.0):
  """Returns our network and fresh variables of it."""
  import jax

  from sslprune_jax import models
  from sslprune_jax.training import state

  network = models.build(name, classes, width=width)
  return network, state.initialize(network, shape, jax.random.key(0))


class Ours:
  """Our step on one batch that lies on the device."""

  def __init__(self, name, augment=None, masked=True, width=1.0, batch=BATCH):
    """Compiles the step under a mask that keeps half of the weights."""
    import jax

    from sslprune_jax import data
    from sslprune_jax.pruning import masks
    from sslprune_jax.runtime import devices
    from sslprune_jax.tasks import labels as labels_lib
    from sslprune_jax.training import optimizer as optimizer_lib
    from sslprune_jax.training import state, step

    shape = _SHAPES[name]
    network, variables = variables_of(name, shape, width=width)
    task = labels_lib.Labels(
      num_outputs=_CLASSES,
      augment=augment or data.Augment(),
      normalise=functools.partial(
        data.normalise, mean=(0.5,) * shape[2], std=(0.25,) * shape[2]
      ),
    )
    optimizer = optimizer_lib.optimizer(
      "sgd", weight_decay=_DECAY, nesterov=False
    )
    mask = half(variables["params"])
    if not masked:
      mask = masks.dense(variables["params"])
      masks.apply = lambda masks, tree: tree  # Before the step is traced.
    self._state = state.create(variables, mask, optimizer, jax.random.key(1))
    images, labels = _batch(shape, batch)
    feed = data.ResidentBatches(
      data.ArraySource(images, labels), batch, devices.split()
    )
    self._batch = next(feed.train(lambda epoch: np.arange(batch), 0, 1))
    rate = optimizer_lib.schedule("constant", _RATE, length=1)
    self._step = step.pmap(step.make_step(network, task, optimizer, rate))

  def answer(self):
    """Returns the losses of three updates."""
    return {"losses": [self.run() for _ in range(3)]}

  def run(self):
    """Makes an update."""
    self._state, metrics = self._step(self._state, self._batch)
    return float(metrics["loss"])


def half(params):
  """Returns a mask that keeps half of the prunable weights."""
  from sslprune_jax.pruning import magnitude, masks

  dense = masks.dense(params)
  scores = magnitude.score("magnitude", params, dense)
  return magnitude.prune(scores, dense, 0.5, np.random.default_rng(0))


class Torch:
  """The same step in PyTorch: SGD, weights and gradients masked."""

  def __init__(self, name, compiled=False, width=1.0):
    """Loads our fresh weights."""
    import torch
    import torch_networks

    from sslprune_jax.runtime.trees import named_leaves

    torch.set_num_threads(2)
    shape = _SHAPES[name]
    _, variables = variables_of(name, shape, width=width)
    network = torch_networks.NETWORKS[name](shape[2], _CLASSES, width)
    torch_networks.load(network, named_leaves(variables["params"]))
    ours = named_leaves(half(variables["params"]))
    self._masks = {
      parameter: torch.tensor(
        np.ascontiguousarray(ours[_our_name(own)].transpose(3, 2, 0, 1))
      )
      for own, parameter in network.named_parameters()
      if parameter.ndim == 4
    }
    images, labels = _batch(shape)
    images = (images.astype(np.float32) / 255 - 0.5) / 0.25
    self._images = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    if compiled:
      network = network.to(memory_format=torch.channels_last)
      self._images = self._images.to(memory_format=torch.channels_last)
    self._labels = torch.tensor(labels).long()
    self._optimizer = torch.optim.SGD(
      network.parameters(), lr=_RATE, momentum=0.9, weight_decay=_DECAY
    )
    with torch.no_grad():
      for parameter, mask in self._masks.items():
        parameter.mul_(mask)
    self._network = torch.compile(network) if compiled else network
    self._loss = torch.nn.functional.cross_entropy

  def answer(self):
    """Returns the losses of three updates."""
    return {"losses": [self.run() for _ in range(3)]}

  def run(self):
    """Makes an update."""
    import torch

    self._optimizer.zero_grad()
    loss = self._loss(self._network(self._images), self._labels)
    loss.backward()
    with torch.no_grad():
      for parameter, mask in self._masks.items():
        parameter.grad.mul_(mask)
    self._optimizer.step()
    with torch.no_grad():
      for parameter, mask in self._masks.items():
        parameter.mul_(mask)
    return loss.item()


def _our_name(own):
  return "trunk/" + own.replace(".", "/").replace("weight", "kernel")


def _augmented():
  from sslprune_jax import data

  return Ours("convnet", augment=data.Augment(padding=2, flip=True))


_COMPILED = (
  "XLA's own convolutions on CPU, with one flag that brings Eigen's weight "
  "gradients back (environment); PyTorch calls oneDNN, which convolves "
  "channels-last images in blocks. Custom calls to oneDNN would need a C++ "
  "library of our own."
)
_NARROW = (
  "a network of the size of ResNet-20. Where its time goes was not looked "
  "into: nothing was tried for it but what all cases have, memory that is kept."
)


def _case(name, compiled=False, width=1.0, called="", note=""):
  return {
    "ours": functools.partial(Ours, name, width=width),
    "peer": functools.partial(Torch, name, compiled, width),
    "ours_is": f"an update of {called or name} under a mask, batch 128, f32",
    "peer_is": "PyTorch, "
    + ("channels last, compiled" if compiled else "eager"),
    "target": 1.3 if compiled else 1.1,
    "most": 21,
    "starts": 1 if compiled else 3,
    "note": note,
  }


CASES = {
  "step_convnet": _case("convnet"),
  "step_resnet18": _case("resnet18"),
  "step_resnet18_compiled": _case("resnet18", compiled=True, note=_COMPILED),
  "step_narrow": _case(
    "resnet18",
    width=0.25,
    called="resnet18 at a quarter of its width",
    note=_NARROW,
  ),
  "masked_step": {
    "ours": functools.partial(Ours, "resnet18"),
    "peer": functools.partial(Ours, "resnet18", masked=False),
    "ours_is": "an update of resnet18 under a mask",
    "peer_is": "the same without masks",
    "target": 1.02,
    "both_ours": True,
    "tolerance": np.inf,  # Other weights: another loss.
    "most": 21,
    "starts": 3,
  },
  "augmentation": {
    "ours": _augmented,
    "peer": functools.partial(Ours, "convnet"),
    "ours_is": "an update of convnet that crops and flips",
    "peer_is": "the same on fixed images",
    "target": 1.05,
    "both_ours": True,
    "tolerance": np.inf,
    "most": 41,
    "starts": 8,
    "note": "each process makes its updates in 33 to 64 ms, with crops and "
    "without, for as long as it lives; why is not known. What is within the "
    "quartiles was not told apart from that.",
  },
}
