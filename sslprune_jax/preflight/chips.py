"""The TPUs that a step can be compiled for without one."""

import contextlib
import dataclasses
import importlib.util
import math
import os
import re
from collections.abc import Iterator

import jax
from jax.experimental import topologies

from sslprune_jax.runtime.errors import UserError

_MOST_CHIPS = 256


class TopologyError(UserError, ValueError):
  """There is no such topology, or nothing that compiles for it."""


@dataclasses.dataclass(frozen=True)
class Chip:
  """A generation of TPU, by the numbers a chip that Google Cloud publishes.

  Attributes:
    memory: bytes of HBM that the compiler gives to a program; somewhat less
      than there are.
    peak: FLOP/s in bfloat16.
    bandwidth: bytes/s of HBM.
    links: bytes/s to other chips, all links together.
    clock: Hz that turns the compiler's cycles into time: the peak over what the
      matrix units do in a cycle. Not published for all.
    axes: number of axes of a topology.
    config: name by which libtpu sees the chip: "megacore" makes its two cores
      one device, as they are in use.
  """

  memory: int
  peak: float
  bandwidth: float
  links: float
  clock: float
  axes: int
  config: str = ""


def _gib(number: float) -> int:
  return round(number * 2**30)


CHIPS = {
  "v4": Chip(_gib(30.75), 275e12, 1.2e12, 300e9, 1.05e9, 3, "megacore"),
  "v5e": Chip(_gib(15.75), 197e12, 0.819e12, 200e9, 1.5e9, 2),
  "v5p": Chip(_gib(95.74), 459e12, 2.765e12, 600e9, 1.75e9, 3, "megacore"),
  "v6e": Chip(_gib(31.25), 918e12, 1.64e12, 448e9, 1.75e9, 2),
}


def devices(topology: str) -> list[jax.Device]:
  """Returns the devices of a topology, to compile for; none can be run on.

  Args:
    topology: kind and shape, such as "v5e:2x4" or "v4:2x2x2".

  Raises:
    TopologyError: there is no such topology, or libtpu is not installed.
  """
  kind, shape = _parse(topology)
  if not importlib.util.find_spec("libtpu"):
    raise TopologyError(
      f"--topology={topology}: found no compiler for TPUs, expected libtpu: "
      "pip install 'sslprune-jax[tpu]'"
    )
  chip = CHIPS[kind]
  hosts = {}
  if shape in ((1, 1), (1, 1, 1)):
    hosts["chips_per_host_bounds"] = (1, 1, 1)
  if chip.config:
    hosts["chip_config_name"] = chip.config
  # Without these libtpu asks the network which machine this is.
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
  try:
    with _quiet():
      found = topologies.get_topology_desc(
        platform="tpu", topology_name=topology, **hosts
      ).devices
  except RuntimeError as error:
    reason = str(error).split("\n")[0]
    raise TopologyError(f"--topology={topology}: {reason}") from None
  return found


def _parse(topology: str) -> tuple[str, tuple[int, ...]]:
  match = re.fullmatch(r"(\w+):(\d+(?:x\d+)+)", topology)
  kind = match and match[1]
  if kind not in CHIPS:
    raise TopologyError(
      f"--topology: found {topology!r}, expected a kind among {tuple(CHIPS)} "
      "and its shape, such as v5e:2x4 or v4:2x2x2"
    )
  shape = tuple(map(int, match[2].split("x")))
  axes, count = CHIPS[kind].axes, math.prod(shape)
  if len(shape) != axes or not 1 <= count <= _MOST_CHIPS:
    example = "4x4x4" if axes == 3 else "4x8"
    raise TopologyError(
      f"--topology: found {topology!r}, {count} chips along {len(shape)} axes, "
      f"expected 1 to {_MOST_CHIPS} chips along {axes}, such as "
      f"{kind}:{example}"
    )
  return kind, shape


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps what libtpu's C++ prints as it looks for a TPU off the terminal."""
  saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, 2)
  try:
    yield
  finally:
    os.dup2(saved, 2)
    os.close(saved)
    os.close(nowhere)
