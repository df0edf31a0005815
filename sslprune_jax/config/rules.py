"""What a field of the configuration is, and what it may hold."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from sslprune_jax.config import durations
from sslprune_jax.runtime.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Rule:
  """What a field may hold.

  Attributes:
    expected: the same in words, for the error.
    holds: whether a value is one of these.
  """

  expected: str
  holds: Callable[[Any], bool]

  def check(self, field: str, value: Any) -> None:
    """Refuses a value.

    Args:
      field: dotted name of the field, without `config.`.
      value: what was found.

    Raises:
      ConfigError: names the field, what was found and what was expected.
    """
    try:
      holds = self.holds(value)
    except (TypeError, AttributeError):  # Of another type than the default.
      holds = False
    if not holds:
      raise ConfigError(
        f"config.{field}: found {value!r}, expected {self.expected}"
      )


@dataclasses.dataclass(frozen=True)
class Field:
  """A field of the configuration.

  Attributes:
    default: its value in `base()`.
    sentence: what it says, for `sslprune fields` and the reader.
    rule: what it may hold; None for a text or a switch that may be anything.
    unit: unit of the value, where it has one.
    changes_bits: whether results depend on it; a field that changes no bit is
      no part of what makes a study another one.
    grows: whether a finished study may be asked for more of it: its workdir
      keeps the union.
    before: the value that reproduces what ran before the field existed, where
      that is not the default.
  """

  default: Any
  sentence: str
  rule: Rule | None = None
  unit: str = ""
  changes_bits: bool = True
  grows: bool = False
  before: Any = dataclasses.field(default=None, kw_only=True)


def section(fields: Mapping[str, Field]) -> ConfigDict:
  """Returns a section of the configuration that holds the defaults."""
  return ConfigDict({name: field.default for name, field in fields.items()})


def one_of(values: Collection[Any]) -> Rule:
  """Returns the rule of a field that holds one of some values."""
  return Rule(f"one of {tuple(values)}", lambda value: value in values)


def some_of(values: Collection[str], least: int = 1) -> Rule:
  """Returns the rule of a field that holds distinct names of some."""
  return Rule(
    f"distinct names among {tuple(values)}, at least {least}",
    lambda names: (
      not isinstance(names, str)
      and least <= len(names) == len(set(names))
      and set(names) <= set(values)
    ),
  )


def whole(least: int, most: int | None = None) -> Rule:
  """Returns the rule of whole numbers from `least`, or up to `most` too."""
  expected = f"a whole number, at least {least}"
  if most is not None:
    expected = f"a whole number from {least} to {most}"
  return Rule(
    expected,
    lambda n: is_whole(n) and n >= least and (most is None or n <= most),
  )


def is_whole(value: Any) -> bool:
  """Returns whether a value is a whole number; True and False are not."""
  return isinstance(value, int) and not isinstance(value, bool)


def is_duration(value: Any) -> bool:
  """Returns whether a text is a duration with its unit."""
  try:
    durations.to_updates(value, batch_size=1, num_images=1)
  except ValueError:
    return False
  return True


ABOVE_ZERO = Rule("a number above 0", lambda x: x > 0 and math.isfinite(x))
SHARE = Rule("a number above 0, at most 1", lambda x: 0 < x <= 1)
OPEN_SHARE = Rule(
  "a number between 0 and 1, both excluded", lambda x: 0 < x < 1
)
PROBABILITY = Rule("a number from 0 to 1", lambda p: 0 <= p <= 1)
BELOW_ONE = Rule("a number from 0, below 1", lambda m: 0 <= m < 1)
FINITE = Rule(
  "a finite number, at least 0", lambda x: math.isfinite(x) and x >= 0
)
TEMPERATURE = Rule(
  "a number, at least 0.02",  # exp(1 / 0.01) is beyond float32.
  lambda t: math.isfinite(t) and t >= 0.02,
)
DURATION = Rule(durations.FORM, is_duration)
DTYPE = one_of(("float32", "bfloat16"))
