"""The training step: beside PyTorch's, without masks, without augmentation."""

import functools

import numpy as np

from cases.step_sides import Ours, Torch


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
  "a network of the size of ResNet-20. Activations are written once "
  "(`layers.write_once`); seven tenths of what is left are XLA's convolutions, "
  "which at 16 channels take their time with the patches that Eigen packs."
)


_CONVNET = (
  "each process makes its updates in 33 to 64 ms, with crops and without, for "
  "as long as it lives; why is not known. Three pairs of processes are too few "
  "to tell the clock's ratio. Of processor time it is met."
)


def _case(name, target, compiled=False, width=1.0, called="", note=""):
  return {
    "ours": functools.partial(Ours, name, width=width),
    "peer": functools.partial(Torch, name, compiled, width),
    "ours_is": f"an update of {called or name} under a mask, batch 128, f32",
    "peer_is": "PyTorch, "
    + ("channels last, compiled" if compiled else "eager"),
    "target": target,
    "most": 21,
    "starts": 1 if compiled else 3,
    "note": note,
  }


CASES = {
  "step_convnet": _case("convnet", 0.6, note=_CONVNET),
  "step_resnet18": _case("resnet18", 0.81),
  "step_resnet18_compiled": _case(
    "resnet18", 1.15, compiled=True, note=_COMPILED
  ),
  "step_narrow": _case(
    "resnet18",
    0.85,
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
    "note": "what is within the quartiles was not told apart from what one "
    "process is slower than the next; of processor time nothing is left.",
  },
}
