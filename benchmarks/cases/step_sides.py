"""The two sides of an update: our step, and the same one in PyTorch."""

import functools

import numpy as np

BATCH = 128
SHAPES = {
  "convnet": (28, 28, 1),
  "resnet18": (32, 32, 3),
  "resnet50": (224, 224, 3),
}
_CLASSES, _RATE, _DECAY = 10, 0.01, 1e-4


def _batch(shape, size=BATCH):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (size, *shape), np.uint8)
  return images, rng.integers(0, _CLASSES, size).astype(np.int32)


def variables_of(name, shape, classes=_CLASSES, width=1.0, dtype="float32"):
  """Returns our network and fresh variables of it."""
  import jax

  from sslprune_jax import models
  from sslprune_jax.training import state

  network = models.build(name, classes, width=width, dtype=dtype)
  return network, state.initialize(network, shape, jax.random.key(0))


class Ours:
  """Our step on one batch that lies on the device."""

  def __init__(
    self,
    name,
    augment=None,
    masked=True,
    width=1.0,
    batch=BATCH,
    shape=None,
    dtype="float32",
  ):
    """Compiles the step under a mask that keeps half of the weights.

    Args:
      name: name of the network.
      augment: crops and flips; by default the images are fixed.
      masked: whether the step masks; else there is no mask in it.
      width: factor of the channels.
      batch: images over all devices.
      shape: (H, W, C) of an image; by default that of `SHAPES`.
      dtype: dtype of the compute.
    """
    import jax

    from sslprune_jax import data
    from sslprune_jax.pruning import masks
    from sslprune_jax.runtime import devices
    from sslprune_jax.tasks import labels as labels_lib
    from sslprune_jax.training import optimizer as optimizer_lib
    from sslprune_jax.training import state, step

    shape = shape or SHAPES[name]
    network, variables = variables_of(name, shape, width=width, dtype=dtype)
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
    self.state = state.create(variables, mask, optimizer, jax.random.key(1))
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
    return float(self.dispatch()["loss"])

  def dispatch(self):
    """Begins an update; returns its metrics, which may not be there yet."""
    self.state, metrics = self._step(self.state, self._batch)
    return metrics

  def lower(self):
    """Lowers the step for the devices."""
    return self._step.lower(self.state, self._batch)


def half(params):
  """Returns a mask that keeps half of the prunable weights."""
  from sslprune_jax.pruning import magnitude, masks

  dense = masks.dense(params)
  scores = magnitude.score("magnitude", params, dense)
  return magnitude.prune(scores, dense, 0.5, np.random.default_rng(0))


class Torch:
  """The same step in PyTorch: SGD, weights and gradients masked."""

  def __init__(
    self,
    name,
    compiled=False,
    width=1.0,
    batch=BATCH,
    shape=None,
    device="cpu",
    dtype="float32",
  ):
    """Loads our fresh weights.

    Args:
      name: name of the network.
      compiled: whether it is compiled, and its images channels last.
      width: factor of the channels.
      batch: number of images.
      shape: (H, W, C) of an image; by default that of `SHAPES`.
      device: name of the device.
      dtype: dtype of the compute; of "bfloat16" by `torch.autocast`.
    """
    import torch
    import torch_networks

    from sslprune_jax.runtime.trees import named_leaves

    torch.set_num_threads(2)
    shape = shape or SHAPES[name]
    _, variables = variables_of(name, shape, width=width)
    network = torch_networks.NETWORKS[name](shape[2], _CLASSES, width)
    torch_networks.load(network, named_leaves(variables["params"]))
    ours = named_leaves(half(variables["params"]))
    network = network.to(device)
    self._masks = {
      parameter: torch.tensor(
        np.ascontiguousarray(ours[_our_name(own)].transpose(3, 2, 0, 1)),
        device=device,
      )
      for own, parameter in network.named_parameters()
      if parameter.ndim == 4
    }
    images, labels = _batch(shape, batch)
    images = (images.astype(np.float32) / 255 - 0.5) / 0.25
    images = images.transpose(0, 3, 1, 2).copy()
    self._images = torch.tensor(images, device=device)
    if compiled:
      network = network.to(memory_format=torch.channels_last)
      self._images = self._images.to(memory_format=torch.channels_last)
    self._labels = torch.tensor(labels, device=device).long()
    self._cast = torch.autocast(
      device, dtype=torch.bfloat16, enabled=dtype == "bfloat16"
    )
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
    return self.dispatch().item()

  def dispatch(self):
    """Begins an update; returns its loss, which may not be there yet."""
    import torch

    self._optimizer.zero_grad()
    with self._cast:
      loss = self._loss(self._network(self._images), self._labels)
    loss.backward()
    with torch.no_grad():
      for parameter, mask in self._masks.items():
        parameter.grad.mul_(mask)
    self._optimizer.step()
    with torch.no_grad():
      for parameter, mask in self._masks.items():
        parameter.mul_(mask)
    return loss.detach()


def _our_name(own):
  return "trunk/" + own.replace(".", "/").replace("weight", "kernel")
