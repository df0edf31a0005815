"""The training step, compiled for devices that are not here.

What the compiler says of it is kept for the next time.
"""

import dataclasses
import hashlib
import importlib.metadata
import math
import re
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from etils import epath

from sslprune_jax import data
from sslprune_jax.pruning import masks as masks_lib
from sslprune_jax.runtime import files
from sslprune_jax.training import state as state_lib
from sslprune_jax.training import step
from sslprune_jax.training.state import TrainState
from sslprune_jax.training.trainer import Trainer

Batch = dict[str, jax.ShapeDtypeStruct]

_BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "u8": 1}
_NEEDED = re.compile(r"([\d.]+)([MGT])\) exceeds available HBM", re.I)
_UNIT = {"M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Compiled:
  """A step as it is compiled for one chip of several.

  Attributes:
    fits: whether the chip's memory holds it; if not the rest is 0, but for
      what is `needed` at least, where the compiler says it.
    seconds: time that compiling took.
    needed: bytes that the step takes.
    temporary: bytes of `needed` for activations and workspace, at their peak.
    flops: operations of an update.
    traffic: bytes read from and written to HBM in an update.
    cycles: compiler's estimate for all that is computed; it leaves out what
      chips exchange.
    exchanged: bytes of each all-reduce, the largest first.
  """

  fits: bool
  seconds: float
  needed: int = 0
  temporary: int = 0
  flops: float = 0.0
  traffic: float = 0.0
  cycles: int = 0
  exchanged: tuple[int, ...] = ()


def step_shapes(
  training: Trainer, source: data.Source, devices: int
) -> tuple[TrainState, Batch]:
  """Returns the shapes of what an update reads, without its arrays.

  Args:
    training: training, whose arrays are not made.
    source: training images.
    devices: number of devices, which divide the batch and what is kept by
      sample.

  Returns:
    The state and the batch, of `jax.ShapeDtypeStruct`.
  """
  network, optimizer = training.network, training.optimizer
  key = jax.eval_shape(lambda: jax.random.key(0))
  variables = jax.eval_shape(
    lambda key: state_lib.initialize(network, source.image_shape, key), key
  )
  task_state = jax.eval_shape(lambda key: training.task.init(key, source), key)

  def lay_out(leaf):
    rows = -(-leaf.shape[0] * leaf.shape[1] // devices)
    return jax.ShapeDtypeStruct((devices, rows, *leaf.shape[2:]), leaf.dtype)

  state = TrainState(
    step=jax.ShapeDtypeStruct((), jnp.int32),
    params=variables["params"],
    batch_stats=variables["batch_stats"],
    opt_state=jax.eval_shape(optimizer.init, variables["params"]),
    masks=jax.eval_shape(lambda: masks_lib.dense(variables["params"])),
    task_state=task_state.replace(
      by_sample=jax.tree.map(lay_out, task_state.by_sample)
    ),
    rng=key,
  )
  rows = devices, training.batch_size * training.task.reads // devices
  number = jax.ShapeDtypeStruct(rows, jnp.int32)
  image = jax.ShapeDtypeStruct(rows + source.image_shape, jnp.uint8)
  return state, {"image": image, "label": number, "index": number}


def lower_step(
  training: Trainer,
  state: TrainState,
  batch: Batch,
  devices: Sequence[jax.Device],
) -> jax.stages.Lowered:
  """Lowers the step of a training for some devices.

  Args:
    training: training, whose arrays are not made.
    state: shapes of the state, from `step_shapes`.
    batch: shapes of the batch.
    devices: devices of another machine.
  """
  return step.pmap(training.step_of_device, devices).lower(state, batch)


def compile_once(
  lowered: jax.stages.Lowered, topology: str, cache: epath.PathLike
) -> tuple[Compiled, bool]:
  """Compiles a step, or reads what was said when it was compiled before.

  Args:
    lowered: step, lowered for the devices of the topology.
    topology: name of the topology.
    cache: folder; keyed by the program, the topology, the compiler and what is
      kept of its answer.

  Returns:
    What the compiler says, and whether it was read.
  """
  versions = [importlib.metadata.version(n) for n in ("jaxlib", "libtpu")]
  kept = [field.name for field in dataclasses.fields(Compiled)]
  digest = hashlib.sha256(" ".join([topology, *versions, *kept]).encode())
  digest.update(lowered.as_text().encode())
  path = epath.Path(cache) / f"{digest.hexdigest()}.json"
  if path.exists():
    found = files.read_json(path)
    return Compiled(**{**found, "exchanged": tuple(found["exchanged"])}), True
  compiled = compile_step(lowered)
  files.write_json(path, dataclasses.asdict(compiled))
  return compiled, False


def compile_step(lowered: jax.stages.Lowered) -> Compiled:
  """Compiles a step; returns what the compiler says of it.

  Args:
    lowered: step, lowered for devices of any kind.
  """
  started = time.monotonic()
  try:
    # A run's flags on a CPU (`environment`) are not for a TPU's compiler, which
    # knows no barriers.
    compiled = lowered.compile({"xla_disable_hlo_passes": ""})
  except jax.errors.JaxRuntimeError as error:
    if "RESOURCE_EXHAUSTED" not in str(error):
      raise
    match = _NEEDED.search(str(error))
    return Compiled(
      fits=False,
      seconds=time.monotonic() - started,
      needed=int(float(match[1]) * _UNIT[match[2]]) if match else 0,
    )
  seconds = time.monotonic() - started
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  text = compiled.as_text()
  return Compiled(
    fits=True,
    seconds=seconds,
    needed=memory.argument_size_in_bytes
    + memory.temp_size_in_bytes
    + memory.generated_code_size_in_bytes
    # Most outputs take the place of the state that is donated.
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes,
    temporary=memory.temp_size_in_bytes,
    # Its "optimal_seconds" is negative for whole networks.
    flops=cost["flops"],
    traffic=cost["bytes accessed"],
    cycles=count_cycles(text),
    exchanged=exchange_sizes(text),
  )


def count_cycles(text: str) -> int:
  """Adds up the compiler's estimates for the fusions of a module's text."""
  return sum(map(int, re.findall(r'"estimated_cycles":"(\d+)"', text)))


def exchange_sizes(text: str) -> tuple[int, ...]:
  """Returns the bytes of each all-reduce of a module's text, largest first."""
  found = re.findall(r"= (.*?) all-reduce(?:-start)?\(", text)
  return tuple(sorted((_size(shapes) for shapes in found), reverse=True))


def _size(shapes: str) -> int:
  """Returns the bytes of shapes such as `f32[64,3]{1,0}`."""
  return sum(
    _BYTES[dtype] * math.prod(int(n) for n in sizes.split(",") if n)
    for dtype, sizes in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", shapes)
    if dtype in _BYTES
  )
