"""Durations of a training: epochs, updates and samples, by their unit."""

import re
from fractions import Fraction

FORM = "a number with its unit, such as '90ep', '500it' or '3840000samples'"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ep|it|samples)")


def to_updates(
  duration: str, *, batch_size: int, num_images: int, samples: int = 1
) -> int:
  """Converts a duration to updates.

  Args:
    duration: a number with its unit: "90ep" epochs, "500it" updates or
      "3840000samples" images seen.
    batch_size: images an update, over all devices.
    num_images: images in the training set; an epoch is the whole batches of it.
    samples: what is counted for each image of a batch: 8 of S4L, whose batch
      of 256 stands beside as many labelled images, all at four angles, which
      is the paper's 2048; 1 of Exemplar, as views of an image are one image.

  Returns:
    Updates, rounded half up.

  Raises:
    ValueError: the duration has another form.
  """
  match = _DURATION.fullmatch(duration)
  if not match:
    raise ValueError(f"found {duration!r}, expected {FORM}")
  number, unit = Fraction(match[1]), match[2]
  scale = {
    "it": Fraction(1),
    "ep": Fraction(num_images // batch_size),
    "samples": Fraction(1, batch_size * samples),
  }[unit]
  updates = int(number * scale + Fraction(1, 2))
  if updates >= 2**31:
    raise ValueError(
      f"found {duration[:40]!r}, which is more updates than int32 counts, "
      f"expected {FORM}"
    )
  return updates


def stretch(duration: str, factor: float | Fraction) -> str:
  """Returns a duration as many times as long, of the same unit.

  Args:
    duration: duration of the form that `to_updates` takes.
    factor: factor above 0.
  """
  number, unit = _DURATION.fullmatch(duration).groups()
  longer = Fraction(number) * Fraction(factor)
  whole = longer.denominator == 1
  return f"{longer.numerator if whole else float(longer)}{unit}"
