"""Preflight's answer for people."""

from typing import Any

_KINDS = {
  "weights": "weights",
  "optimizer": "optimizer",
  "masks": "masks",
  "task": "the task's own",
  "batch": "a batch",
  "activations": "activations",
  "program_and_layout": "program, padding",
}
_TIMES = {
  "cycles": "compiler's cycles at {clock:g} GHz, without exchange",
  "compute": "operations at {peak:g} TFLOP/s",
  "traffic": "HBM traffic at {bandwidth:g} GB/s",
  "exchange": "all-reduces at {links:g} GB/s; may overlap",
}


def lines(found: dict[str, Any]) -> list[str]:
  """Writes what preflight found as a table.

  Args:
    found: values from `costs.estimate_cost`.

  Returns:
    The lines of the table.
  """
  rows = [
    f"{found['task']} with {found['network']} in {found['dtype']}, "
    f"{found['image_shape']}, a batch of {found['batch_size']:,}"
    + (
      f" that the network sees {found['rows']} times"
      if found["rows"] > 1
      else ""
    )
    + f", on {found['topology']} ({found['chips']} chips)",
    "",
  ]
  needed, limit = found["needed"], found["chip"]["memory"]
  if not found["fits"]:
    at_least = f"at least {_bytes(needed)}" if needed else "more"
    return [
      *rows,
      f"DOES NOT FIT: needs {at_least} of {_bytes(limit)} a chip (compiled for "
      f"{found['compile_seconds']:.0f} s). Try a topology of more chips, a "
      "smaller --config.train.batch_size (with its learning rate) or "
      "--config.model.remat",
    ]
  rows.append(
    f"{'fits':<20}{_bytes(needed):>11} of {_bytes(limit)} of HBM a chip"
  )
  for kind, name in _KINDS.items():
    rows.append(f"  {name:<18}{_bytes(found['memory'][kind]):>11}")
  return [*rows, "", *_update(found), "", *_study(found)]


def _update(found: dict[str, Any]) -> list[str]:
  """Returns the lines on an update: its work, and the time by each measure."""
  flops, traffic = found["flops"], found["traffic"]
  images = found["batch_size"] * found["rows"] / found["chips"]
  sizes = ", ".join(map(_bytes, found["exchanged"]))
  rows = [
    f"{'an update':<20}{flops / 1e9:>9.2f} GFLOP, {_bytes(traffic)} of HBM "
    "traffic a chip",
    f"{'an image':<20}{flops / images / 1e9:>9.2f} GFLOP, "
    f"{_bytes(traffic / images)}",
    f"{'all-reduces':<20}{len(found['exchanged']):>9}: {sizes}",
    "",
    "time of an update, estimated by each alone",
  ]
  chip = found["chip"]
  units = {
    "clock": chip["clock"] / 1e9,
    "peak": chip["peak"] / 1e12,
    "bandwidth": chip["bandwidth"] / 1e9,
    "links": chip["links"] / 1e9,
  }
  for kind, words in _TIMES.items():
    milliseconds = found["times"][kind] * 1e3
    rows.append(f"{milliseconds:>29.2f} ms, {words.format(**units)}")
  return rows


def _study(found: dict[str, Any]) -> list[str]:
  """Returns the lines on the whole study."""
  chips, study = found["chips"], found["study"]
  return [
    "by the longest of these, at best",
    f"  {'images':<18}{found['images_per_second']:>9,.0f} a second, "
    f"{found['images_per_second'] / chips:,.0f} a chip",
    f"  {'utilisation':<18}{found['utilisation']:>9.0%} of the peak",
    f"  {'the study':<18}{study['hours']:>9,.1f} hours, "
    f"{study['chip_hours']:,.0f} chip-hours: {study['trainings']} trainings, "
    f"{study['images']:,} images; updates alone",
    "",
    f"{'largest batch':<20}{found['largest_batch']:>7,} or more "
    f"({found['largest_batch'] // chips} a chip), by activations an image",
    f"{'compiled in':<20}{found['compile_seconds']:>7.0f} s"
    + (" (an earlier time)" if found["was_cached"] else ""),
  ]


def _bytes(size: float) -> str:
  """Writes bytes in the unit that fits."""
  for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
    if size >= scale / 2:
      return f"{size / scale:.2f} {unit}"
  return f"{size / 2**10:.2f} KiB"
