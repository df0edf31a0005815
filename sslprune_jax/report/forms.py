"""The forms of what a report reads besides results, to hold files against."""

import math
from typing import Any

from sslprune_jax import workdir
from sslprune_jax.report.records import ResultsError

ABOVE_ZERO = "a whole number above 0"  # What shares are of.
_COUNT = "a whole number, at least 0"

# Of an object: a form for each name that is needed, and for "*", every name.
# Of a list: the form of its items. Of a tuple: the texts that may be. Else a
# type, or `ABOVE_ZERO`; a float is above 0.
_COUNTS = {"path": str, "total": ABOVE_ZERO}
CONFIG = {"versions": {"*": str}, "protocols": {"*": {"label": str}}}
OVERLAPS = {
  **{"seed": int, "round": int, "a": [str], "b": [str]},
  "layers": [{**_COUNTS, "a": int, "b": int, "both": int}],
}
OF_ROUND = {
  workdir.SPARSITY: {
    **{"kept": int, "prunable": ABOVE_ZERO},
    "layers": [{**_COUNTS, "kept": int, "shape": [int], "dead_outputs": int}],
    "excluded": [{"path": str, "reason": str, "size": int}],
  },
  workdir.MAGNITUDES: {
    "remaining": ABOVE_ZERO,
    "at_most": {
      "machine_precision": {"count": int},
      "1e-5": {"count": int},
      "*": {"count": int},
    },
    "histogram": {"below": int, "counts": [int]},
  },
}
TIMES = {
  **{"task": str, "seed": int, "round": int, "sha256": str, "engine": str},
  **{"threads": ABOVE_ZERO, "batch": ABOVE_ZERO, "device": str},
  **{"network": ("dense", "masked", "shrunk", "int8")},
  **dict.fromkeys(("seconds", "lower", "upper"), float),
  **dict.fromkeys(("processor_seconds", "of_dense_multiply_adds"), float),
  **{"file_bytes": ABOVE_ZERO},
}


def check(value: Any, form: Any, where: str) -> None:
  """Refuses a value of JSON that has not some form.

  Args:
    value: what was read.
    form: what it is to be; see `CONFIG`, `OVERLAPS` and `OF_ROUND`.
    where: place of the value, for the message.

  Raises:
    ResultsError: names the place, what was found and what was expected.
  """
  if isinstance(form, dict):
    _expect(isinstance(value, dict), value, "an object", where)
    if "*" in form:
      needed = {name: own for name, own in form.items() if name != "*"}
      form = dict.fromkeys(value, form["*"]) | needed
    for name, own in form.items():
      if name not in value:
        raise ResultsError(f"{where}: no field {name!r}")
      check(value[name], own, f"{where}: {name}")
  elif isinstance(form, list):
    _expect(isinstance(value, list), value, "a list", where)
    for number, item in enumerate(value):
      check(item, form[0], f"{where}[{number}]")
  elif form is str:
    _expect(isinstance(value, str), value, "a text", where)
  elif isinstance(form, tuple):
    _expect(value in form, value, f"one of {', '.join(form)}", where)
  elif form is float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    holds = is_number and 0 < value < math.inf
    _expect(holds, value, "a finite number above 0", where)
  else:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    least, words = (1, form) if form == ABOVE_ZERO else (0, _COUNT)
    _expect(is_whole and value >= least, value, words, where)


def _expect(holds: bool, value: Any, expected: str, where: str) -> None:
  if not holds:
    words = repr(value)[:80]
    raise ResultsError(f"{where}: found {words}, expected {expected}")
