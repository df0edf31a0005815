"""A checkpoint of a ResNet-50's training, saved and restored."""

import atexit
import functools
import pathlib
import shutil
import tempfile

import numpy as np


def _folder():
  folder = pathlib.Path(tempfile.mkdtemp(prefix="benchmark_checkpoints_"))
  atexit.register(shutil.rmtree, folder, ignore_errors=True)
  return folder


class Ours:
  """Our checkpoints: Orbax, with a digest of all that is saved."""

  def __init__(self, restores):
    """Draws a state, and saves it once."""
    import jax

    from cases import step_sides
    from sslprune_jax.pruning import masks
    from sslprune_jax.training import checkpoints, optimizer, state

    _, variables = step_sides.variables_of("resnet50", (64, 64, 3), 1000)
    self.state = state.create(
      variables,
      masks.dense(variables["params"]),
      optimizer.optimizer("sgd", weight_decay=1e-4),
      jax.random.key(0),
    )
    self.checkpoints = checkpoints.Checkpoints(_folder())
    self.checkpoints.save_durably(0, self.state)
    self._restores, self._update = restores, 0

  def answer(self):
    """Returns how many weights there are."""
    import jax

    self.run()
    return {"size": sum(x.size for x in jax.tree.leaves(self.state.params))}

  def run(self):
    """Saves and waits, or restores and verifies."""
    import jax

    if self._restores:
      jax.block_until_ready(self.checkpoints.restore_newest(self.state))
    else:
      self._update += 1
      self.checkpoints.save_durably(self._update, self.state)


class Torch:
  """`torch.save` and `torch.load` of as many tensors."""

  def __init__(self, restores):
    """Draws a state, and saves it once."""
    import jax
    import torch

    from cases import step_sides

    _, variables = step_sides.variables_of("resnet50", (64, 64, 3), 1000)
    leaves = jax.tree.leaves(variables["params"])
    self.state = {
      "params": [torch.tensor(np.asarray(leaf)) for leaf in leaves],
      "momentum": [torch.zeros(leaf.shape) for leaf in leaves],
      "masks": [
        torch.ones(leaf.shape, dtype=torch.bool)
        for leaf in leaves
        if leaf.ndim == 4
      ],
      "statistics": [
        torch.tensor(np.asarray(leaf))
        for leaf in jax.tree.leaves(variables["batch_stats"])
      ],
    }
    self._path = _folder() / "checkpoint.pt"
    torch.save(self.state, self._path)
    self._restores = restores

  def answer(self):
    """Returns how many weights there are."""
    self.run()
    return {"size": sum(x.numel() for x in self.state["params"])}

  def run(self):
    """Saves, or loads."""
    import torch

    if self._restores:
      torch.load(self._path)
    else:
      torch.save(self.state, self._path)


def _case(restores):
  return {
    "ours": functools.partial(Ours, restores),
    "peer": functools.partial(Torch, restores),
    "ours_is": "a ResNet-50's training state "
    + ("restored, every bit verified" if restores else "saved, to the disk"),
    "peer_is": "torch.load" if restores else "torch.save",
    "target": 3.5 if restores else 2.0,
    "most": 15,
    "note": "An XXH3-128 of all that is saved is made and verified: "
    "torch.load reads a flipped bit without a word. "
    + (
      "Rewinding does this once for all rounds, if memory allows."
      if restores
      else "The loop waits until the copy on the device is asked for, once "
      "every config.log.checkpoint updates; the rest runs beside it."
    ),
  }


CASES = {
  "checkpoint_save": _case(restores=False),
  "checkpoint_restore": _case(restores=True),
}
