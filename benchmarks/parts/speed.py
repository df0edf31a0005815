"""How fast is an update on an accelerator, and how much of it is used?

Updates are dispatched one after the other on a batch that lies on the device,
in bfloat16: ours under a mask that keeps half of the weights and without masks,
and PyTorch's under the same mask, compiled, channels last. Last, a training of
ResNet-50 as a study runs it is traced.
"""

import contextlib
import functools
import importlib.util
import pathlib
import statistics
import tempfile
import time

import jax
import updates
from cases import step_sides
from etils import epath

from parts import idle, peaks
from sslprune_jax import tasks
from sslprune_jax.config import recipes
from sslprune_jax.data.sources import Images
from sslprune_jax.preflight import compiled, costs
from sslprune_jax.pruning import masks
from sslprune_jax.runtime.progress import Progress
from sslprune_jax.training import loop
from sslprune_jax.training.trainer import Trainer

# Images a device, and how many updates are timed together.
_BATCHES = {"resnet50": (256, 10), "resnet18": (512, 20), "convnet": (1024, 50)}
_REPEATS = 7
# In short form: the width of the networks, and sides of images.
_NARROW, _SIDES = 0.25, {"resnet50": 64, "resnet18": 32, "convnet": 28}
_TARGET = 0.03  # of a device's time, idle


def items(short):
  """Returns what is timed by name; in short form of two narrow networks."""
  found = {}
  for name in _BATCHES:
    if short and name == "resnet50":
      continue  # It is traced.
    for kind in ("masked", "dense"):
      found[f"{name}, {kind}"] = functools.partial(
        _time_ours, name, kind == "masked", short
      )
    found[f"{name}, PyTorch"] = functools.partial(_time_torch, name, short)
  return found | {"idle": functools.partial(_trace, short)}


def _settings(name, short, devices):
  """Returns what both sides are made with, and how many updates are timed."""
  batch, count = (8, 2) if short else _BATCHES[name]
  settings = {"batch": batch * devices, "dtype": "bfloat16"}
  if short:
    side, channels = _SIDES[name], step_sides.SHAPES[name][-1]
    settings |= {"width": _NARROW, "shape": (side, side, channels)}
  return settings, count


def _time_ours(name, masked, short, seconds):
  """Times our update; returns what it used, and the least it could take."""
  del seconds
  settings, count = _settings(name, short, jax.device_count())
  ours = step_sides.Ours(name, masked=masked, **settings)
  lowered = ours.lower()
  found = time_updates(ours.dispatch, jax.block_until_ready, count)
  stats = jax.local_devices()[0].memory_stats() or {}
  return {
    **rates(found, settings["batch"]),
    "memory_bytes": stats.get("peak_bytes_in_use"),
    **_shares(lowered, statistics.median(found)),
  }


def _shares(lowered, seconds):
  """Holds an update against what is published of the device.

  The operations are counted before XLA makes others of them, and those of one
  device: so a faster way to the same result has a larger share.
  """
  chip = peaks.find(jax.devices()[0].device_kind)
  flops = lowered.cost_analysis()["flops"]
  found = {"flops": flops, "share_of_peak": None, "estimate_s": None}
  if chip is None:
    return found
  answer = compiled.compile_step(lowered)
  estimate = costs.estimate_times(answer, chip, jax.device_count())
  return {
    "flops": flops,
    "share_of_peak": round(flops / (seconds * chip.peak), 4),
    "estimate_s": {name: float(f"{s:.3g}") for name, s in estimate.items()},
  }


def _time_torch(name, short, seconds):
  """Times PyTorch's update on one device."""
  del seconds
  if not importlib.util.find_spec("torch"):
    return {"not_run": "PyTorch is not installed"}
  import torch

  has_gpu = torch.cuda.is_available()
  if not has_gpu and not short:
    return {"not_run": "PyTorch finds no GPU"}
  jax.config.update("jax_platforms", "cpu")  # It draws the weights alone.
  settings, count = _settings(name, short, devices=1)
  peer = step_sides.Torch(
    name, compiled=True, device="cuda" if has_gpu else "cpu", **settings
  )
  wait = torch.cuda.synchronize if has_gpu else float
  found = time_updates(peer.dispatch, lambda loss: wait(), count)
  used = torch.cuda.max_memory_allocated() if has_gpu else None
  return {**rates(found, settings["batch"]), "memory_bytes": used}


def time_updates(dispatch, wait, count):
  """Times updates, begun without waiting for the one before.

  Args:
    dispatch: function that begins an update.
    wait: function that waits for what the last one returned.
    count: number of updates that are timed together.

  Returns:
    Seconds of an update, of each repeat.
  """
  for _ in range(3):  # The first compiles.
    wait(dispatch())
  found = []
  for _ in range(_REPEATS):
    began = time.perf_counter()
    for _ in range(count):
      last = dispatch()
    wait(last)
    found.append((time.perf_counter() - began) / count)
  return found


def rates(seconds, batch):
  """Returns the median, the quartiles, and images a second, as JSON values."""
  low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
  return {
    "batch": batch,
    "seconds": float(f"{middle:.4g}"),
    "quartiles_s": [float(f"{low:.4g}"), float(f"{high:.4g}")],
    "images_a_second": float(f"{batch / middle:.4g}"),
  }


def _trace(short, seconds):
  """Traces ten updates of a training of ResNet-50, as a study runs it."""
  del seconds
  batch = (8 if short else 128) * jax.device_count()
  config = recipes.study("labels", "imagenet2012")
  config.profile = 1
  config.train.update(batch_size=batch, duration="16it")
  config.model.dtype = "bfloat16"
  if short:
    config.model.width = _NARROW
  source = updates.made_up(4 * batch, 64 if short else 224)
  task = tasks.make(config, "labels", source)
  trainer = Trainer(config, "train", task, source)
  variables = trainer.draw(source.image_shape, 0, "init")
  state = trainer.new_state(
    variables, masks.dense(variables["params"]), source, 0
  )
  progress = Progress()
  progress.start(trainer.num_images())
  with tempfile.TemporaryDirectory() as folder, contextlib.closing(progress):
    images = Images(source, source)
    loop.train(trainer, state, images, epath.Path(folder), 0, progress)
    shares = idle.idle_shares(pathlib.Path(folder))
  shares = {device: round(share, 4) for device, share in shares.items()}
  return {
    "ok": bool(shares or short)
    and all(share <= _TARGET for share in shares.values()),
    "batch": batch,
    "idle": shares or None,
    "target": _TARGET,
  }
