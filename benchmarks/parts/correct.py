"""Is what an accelerator computes what a CPU computes, and is it repeatable?

Updates are held to `tests/numerics.json`, which a CPU wrote: their loss, and
the norms of the leaves of the new state. The bounds were set by what other
JAX lines and bfloat16 gave on a CPU; TF32 keeps three bits more than bfloat16,
and has half of its bounds. A fresh ResNet-50 passes rounding on a thousandfold.
"""

import functools
import pathlib
import statistics
import tempfile

import jax
import numpy as np
import updates
from cases import step_sides

from parts import studies
from sslprune_jax.pruning import magnitude, masks
from sslprune_jax.runtime import trees
from sslprune_jax.training import checkpoints, state

# Precision of matrix products, dtype of the compute; bounds of the loss, of the
# norm of the median leaf and of the worst: relative differences.
PRECISIONS = {
  "float32": ("highest", "float32", (1e-4, 1e-4, 0.01)),
  "tensorfloat32": ("tensorfloat32", "float32", (0.02, 0.05, None)),
  "bfloat16": ("bfloat16", "bfloat16", (0.04, 0.1, None)),
}
_DEEP = (1e-4, 3e-3, 0.05)  # of the networks in float32
_FEW = ("labels", "npid", "resnet18")
# Norms below this share of the largest of an update are held to that: a bias
# in front of batch norm has a gradient of rounding alone.
_FLOOR = 1e-3


def items(short):
  """Returns the checks by name; in short form of few tasks and networks."""
  kinds = {"tasks": updates.TASKS, "networks": tuple(updates.NETWORKS)}
  found = {}
  for precision in PRECISIONS:
    if short and precision == "tensorfloat32":
      continue  # CPUs have none.
    for kind, names in kinds.items():
      names = tuple(n for n in names if n in _FEW or not short)
      found[f"{kind}, {precision}"] = functools.partial(
        _compare_updates, names, precision
      )
  return found | {
    "pruning": _compare_pruning,
    "rewinding": _compare_rewinding,
    "killed": studies.compare_killed,
    "processes": studies.compare_processes,
  }


def _compare_updates(names, precision, seconds):
  """Holds an update of each to what a CPU found."""
  del seconds
  matmuls, dtype, bounds = PRECISIONS[precision]
  if precision == "float32" and set(names) <= set(updates.NETWORKS):
    bounds = _DEEP
  stored, found = updates.stored(), {}
  with jax.default_matmul_precision(matmuls):
    for name in names:
      found[name] = differences(updates.update(name, dtype), stored[name])
  return {
    "ok": all(are_within(each, bounds) for each in found.values()),
    "bounds": bounds,
    "found": found,
  }


def differences(found, stored):
  """Returns relative differences: of the loss, the median and the worst leaf.

  Args:
    found: answer of `updates.update`.
    stored: that of a CPU.
  """
  if found["norms"].keys() != stored["norms"].keys():
    raise ValueError("found other leaves than those of tests/numerics.json")
  floor = _FLOOR * max(stored["norms"].values())
  of_leaves = [
    abs(found["norms"][name] - norm) / max(norm, floor)
    for name, norm in stored["norms"].items()
  ]
  of_loss = abs(found["loss"] / stored["loss"] - 1)
  found = of_loss, statistics.median(of_leaves), max(of_leaves)
  return [float(f"{x:.2g}") for x in found]


def are_within(found, bounds):
  """Returns whether differences are finite, and within those that are bound."""
  return all(
    np.isfinite(x) and (bound is None or x <= bound)
    for x, bound in zip(found, bounds, strict=True)
  )


def _compare_pruning(seconds):
  """Prunes weights on the device as on the host, to the same masks."""
  del seconds
  _, variables = step_sides.variables_of("resnet18", (32, 32, 3))
  on_host = jax.device_get(variables["params"])
  # As a CPU sees them, without a device: many of equal magnitude.
  rounded = jax.tree.map(lambda w: np.round(w, 2).astype(w.dtype), on_host)
  packed = []
  for params in (rounded, jax.device_put(rounded)):
    kept, rng = masks.dense(params), np.random.default_rng(0)
    for scope in ("global", "layer"):
      scores = magnitude.score("magnitude", params, kept)
      kept = magnitude.prune(scores, kept, 0.5, rng, scope=scope)
      params = masks.apply(kept, params)
      masks.check_pruned(kept, params)
    packed.append(masks.pack(kept))
  flipped = sum(
    int(np.unpackbits(a ^ packed[1][name]).sum())
    for name, a in packed[0].items()
  )
  return {"ok": flipped == 0, "flipped": flipped, "weights": masks.count(kept)}


def _compare_rewinding(seconds):
  """Rewinds a state that was trained on to the bits that were saved."""
  del seconds
  ours = step_sides.Ours("resnet18", width=0.25, batch=32 * jax.device_count())
  ours.answer()
  early = jax.device_get(ours.state.variables)
  with tempfile.TemporaryDirectory() as folder:
    saved = checkpoints.Checkpoints(pathlib.Path(folder) / "rewind")
    saved.save_durably(3, ours.state)
    ours.answer()
    late = jax.device_get(ours.state.variables)
    found, _ = saved.rewind(3, late, ours.state.task_state)
    saved.close()
  found = ours.state.replace(**found)
  back = jax.device_get(state.place(found).variables)
  differ = _count_differing(early, back)
  moved = _count_differing(early, late)
  return {"ok": differ == 0 and moved > 0, "differ": differ, "moved": moved}


def _count_differing(a, b):
  """Counts the values of two trees whose bits differ."""
  pairs = zip(
    trees.named_leaves(a).values(), trees.named_leaves(b).values(), strict=True
  )
  return sum(
    int((x.view(np.uint32) != y.view(np.uint32)).sum()) for x, y in pairs
  )
