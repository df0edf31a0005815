"""What a field of the configuration is, and what it may hold."""

import dataclasses
import re
import reprlib
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
    except ConfigError:  # What is wrong is said already.
      raise
    # Of another type than the default, or a number beyond all numbers.
    except (TypeError, AttributeError, ValueError, LookupError, OverflowError):
      holds = False
    if not holds:
      words = " ".join(_WORDS.repr(value).split())  # A section's has lines.
      raise ConfigError(
        f"config.{field}: found {words}, expected {self.expected}"
      )


_WORDS = reprlib.Repr()
_WORDS.maxstring = _WORDS.maxother = 80
_WORDS.maxtuple = _WORDS.maxlist = 12


@dataclasses.dataclass(frozen=True)
class Field:
  """A field of the configuration.

  Attributes:
    default: its value in `base()`.
    sentence: what it says, for `sslprune fields` and the reader.
    rule: what it may hold; by default any value of the default's kind.
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

  def __post_init__(self):
    if self.rule is None:
      rules = [rule for kind, rule in _KINDS if isinstance(self.default, kind)]
      if not rules:
        raise TypeError(
          f"rule: found none of the default {self.default!r}, expected one"
        )
      object.__setattr__(self, "rule", rules[0])


def section(fields: Mapping[str, Field]) -> ConfigDict:
  """Returns a section of the configuration that holds the defaults."""
  return ConfigDict({name: field.default for name, field in fields.items()})


def is_number(value: Any) -> bool:
  """Returns whether a value is a number that float32 holds, and no bool."""
  return (
    isinstance(value, (int, float))
    and not isinstance(value, bool)
    and abs(value) <= _LARGEST
  )


def is_whole(value: Any) -> bool:
  """Returns whether a value is a whole number; True and False are not."""
  return isinstance(value, int) and not isinstance(value, bool)


def is_duration(value: Any) -> bool:
  """Returns whether a text is a duration with its unit."""
  durations.to_updates(value, batch_size=1, num_images=1)
  return True


def are_distinct(values: Any, kind: type, least: int = 0) -> bool:
  """Returns whether values are a tuple of distinct ones of a type."""
  return (
    isinstance(values, (tuple, list))
    and all(type(value) is kind for value in values)
    and least <= len(values) == len(set(values))
  )


def number(expected: str, holds: Callable[[float], bool]) -> Rule:
  """Returns the rule of a number of which something holds."""
  return Rule(expected, lambda value: is_number(value) and holds(value))


def each(expected: str, holds: Callable[[Any], bool], least: int = 0) -> Rule:
  """Returns the rule of a tuple of which something holds for every value."""
  return Rule(
    expected,
    lambda values: (
      isinstance(values, (tuple, list))
      and len(values) >= least
      and all(map(holds, values))
    ),
  )


def one_of(values: Collection[Any]) -> Rule:
  """Returns the rule of a field that holds one of some values."""
  return Rule(
    f"one of {tuple(values)}",
    lambda value: not isinstance(value, bool) and value in values,
  )


def some_of(values: Collection[str], least: int = 1) -> Rule:
  """Returns the rule of a field that holds distinct names of some."""
  return Rule(
    f"distinct names among {tuple(values)}, at least {least}",
    lambda names: are_distinct(names, str, least) and set(names) <= set(values),
  )


def whole(least: int, most: int | None = None) -> Rule:
  """Returns the rule of whole numbers from `least`, or up to `most` too."""
  if most is None:  # What int32, in which devices count, holds.
    return Rule(
      f"a whole number, at least {least}",
      lambda n: is_whole(n) and least <= n < 2**31,
    )
  return Rule(
    f"a whole number from {least} to {most}",
    lambda n: is_whole(n) and least <= n <= most,
  )


def channels(count: int) -> Rule:
  """Returns the rule of a number for each channel of an image."""
  return Rule(
    f"{count} numbers, one a channel", lambda values: len(values) == count
  )


_LARGEST = 3.4e38  # of float32, nearly
ABOVE_ZERO = number("a number above 0", lambda x: x > 0)
SHARE = number("a number above 0, at most 1", lambda x: 0 < x <= 1)
OPEN_SHARE = number(
  "a number between 0 and 1, both excluded", lambda x: 0 < x < 1
)
PROBABILITY = number("a number from 0 to 1", lambda p: 0 <= p <= 1)
BELOW_ONE = number("a number from 0, below 1", lambda m: 0 <= m < 1)
FINITE = number("a finite number, at least 0", lambda x: x >= 0)
TEMPERATURE = number(
  "a number, at least 0.02",  # exp(1 / 0.01) is beyond float32.
  lambda t: t >= 0.02,
)
DURATION = Rule(durations.FORM, is_duration)
DURATIONS = each(f"some of {durations.FORM}", is_duration)
DTYPE = one_of(("float32", "bfloat16"))
ROUNDS = Rule(
  "distinct rounds, whole numbers from 0",
  lambda rounds: are_distinct(rounds, int) and min(rounds, default=0) >= 0,
)
NAMES = Rule(
  "distinct names of letters, digits, _, - and ., at least one",
  lambda names: are_distinct(names, str, 1) and all(map(NAME.holds, names)),
)
IMAGE_SHAPE = Rule(
  "three whole numbers above 0",
  lambda shape: len(shape) == 3 and all(is_whole(n) and n > 0 for n in shape),
)
SWITCH = Rule("true or false", lambda value: isinstance(value, bool))
TEXT = Rule(
  "a text in one line",
  lambda value: isinstance(value, str) and value.isprintable(),
)
# Of what a folder or a file is named after.
NAME = Rule(
  "a name of letters, digits, _, - and .",
  lambda value: re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,99}", value, re.ASCII),
)
PATH = Rule(
  "names of letters, digits, _, - and ., parted by /",
  lambda value: all(NAME.holds(part) for part in value.split("/")),
)
_KINDS = ((bool, SWITCH), (str, TEXT), (int, whole(0)), (float, FINITE))
