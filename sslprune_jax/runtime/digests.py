"""SHA-256 of what a run leaves, of files and of values of JSON; without JAX."""

import hashlib
import json
from typing import Any


def describe(content: bytes) -> dict[str, Any]:
  """Returns the size and the SHA-256 of a file, as `result.json` has them."""
  return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def of_values(values: dict[str, Any]) -> str:
  """Returns the SHA-256 of values of JSON, in any order of their names."""
  text = json.dumps(values, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def stamp(values: dict[str, Any]) -> dict[str, Any]:
  """Returns values of JSON with their own SHA-256, as `sha256`."""
  rest = {name: value for name, value in values.items() if name != "sha256"}
  return {**rest, "sha256": of_values(rest)}


def is_whole(values: dict[str, Any]) -> bool:
  """Returns whether values are those of `stamp`, or of no SHA-256 of theirs."""
  own = values.get("sha256")
  return not isinstance(own, str) or values == stamp(values)
