"""A network of an export in a process of its own, timed when it is asked.

`turns.py` starts it: `python -m sslprune_jax.exchange.engines ENGINE FILE
THREADS`. It has of this package nothing but these lines, so that what is timed,
and the memory it takes, is what somebody has who is handed the file alone.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Compute = Callable[[np.ndarray], Any]  # returns when the outputs are there
# What computes, the shape of an image, and what its process says of the device.
Engine = tuple[Compute, tuple[int, ...], dict[str, Any]]

_LEAST_CALLS = 2


def main() -> None:
  """Reads a line for each turn, and answers with a line of JSON.

  The first answer is the `device`, and whether one process `is_alone` there. A
  turn is `{"batch": images, "seconds": least}`, its answer the `seconds` of
  each call by the clock, the `processor_seconds` of all, and the `peak_memory`
  of a device that has its own.
  """
  engine, file, threads = sys.argv[1:]
  if hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))[: int(threads)]
    os.sched_setaffinity(0, cores)
  os.environ["NPROC"] = threads  # XLA's own, where there is no affinity.
  with contextlib.redirect_stdout(sys.stderr):
    compute, shape, about = ENGINES[engine](file, int(threads))
  _answer(about)
  images, warm = np.random.default_rng(0), set()
  for line in sys.stdin:
    turn = json.loads(line)
    batch = images.standard_normal((turn["batch"], *shape), np.float32)
    if turn["batch"] not in warm:
      compute(batch)  # It is compiled, and its buffers are there.
      warm.add(turn["batch"])
    _answer(_time(compute, batch, turn["seconds"]) | _device_memory())


def _answer(value: dict[str, Any]) -> None:
  print(json.dumps(value), flush=True)


def _time(compute: Compute, batch: np.ndarray, least: float) -> dict[str, Any]:
  compute(batch)
  seconds: list[float] = []
  processor, began = time.process_time(), time.perf_counter()
  end = began + least
  while len(seconds) < _LEAST_CALLS or began < end:
    compute(batch)
    now = time.perf_counter()
    seconds.append(now - began)
    began = now
  used = time.process_time() - processor
  return {"seconds": seconds, "processor_seconds": used}


def _device_memory() -> dict[str, int]:
  """Returns the peak of a device's memory; of a CPU it is the process's."""
  if "jax" not in sys.modules:
    return {}
  stats = sys.modules["jax"].devices()[0].memory_stats() or {}
  peak = stats.get("peak_bytes_in_use")
  return {} if peak is None else {"peak_memory": peak}


def _load_xla(file: str, threads: int) -> Engine:
  """Compiles StableHLO, for a GPU or a TPU where JAX finds one."""
  del threads
  import jax
  from jax import export

  with open(file, "rb") as opened:
    exported = export.deserialize(bytearray(opened.read()))
  apply = jax.jit(exported.call)
  device = jax.devices()[0]

  def compute(images):
    return jax.block_until_ready(apply(jax.device_put(images, device)))

  (images,) = exported.in_avals
  about = {
    "device": f"{device.device_kind}, JAX {jax.__version__}",
    "is_alone": device.platform != "cpu",
  }
  return compute, images.shape[1:], about


def _load_onnxruntime(file: str, threads: int) -> Engine:
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = threads
  session = onnxruntime.InferenceSession(
    file, options, providers=["CPUExecutionProvider"]
  )
  (images,) = session.get_inputs()

  def compute(batch):
    return session.run(None, {images.name: batch})

  device = f"cpu, ONNX Runtime {onnxruntime.__version__}"
  about = {"device": device, "is_alone": False}
  return compute, tuple(images.shape[1:]), about


ENGINES: dict[str, Callable[[str, int], Engine]] = {
  "xla": _load_xla,
  "onnxruntime": _load_onnxruntime,
}


if __name__ == "__main__":
  main()
