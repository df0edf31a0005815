"""What the benchmarks name in the package is there."""

import json
import pathlib
import runpy
import types

import flax.linen as nn
import numpy as np

_BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"


def test_every_function_that_the_profile_times_exists():
  profile = runpy.run_path(str(_BENCHMARKS / "study_profile.py"))
  names = [name for of in profile["PARTS"].values() for name in of]
  assert names and all(callable(profile["find"](name)[-1]) for name in names)


def test_the_page_of_the_pilot_is_what_its_numbers_say():
  pilot = runpy.run_path(str(_BENCHMARKS / "pilot_power.py"))
  page = pilot["PAGE"].read_text()
  assert pilot["write"]() == page
  # A row as docs/paper/digits.md has it: 1.2 +- 0.7, over 3 seeds.
  assert (
    "| RotNet tickets are above random masks | 1.1 | 1.1 | 0.4 | 7 |" in page
  )


def test_the_page_of_benchmarks_is_what_its_numbers_say(monkeypatch):
  monkeypatch.syspath_prepend(_BENCHMARKS)
  page = runpy.run_path(str(_BENCHMARKS / "page.py"))
  text = (page["FOUND"].parent / "benchmarks.md").read_text()
  assert page["render"](json.loads(page["FOUND"].read_text())) == text


class _Strided(nn.Module):
  """Two convolutions of 3 x 3, the second on half of the grid."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(nn.Conv(2, (3, 3), padding=1, name="conv1")(x))
    x = nn.Conv(2, (3, 3), strides=2, padding=1, name="conv2")(x)
    return {"logits": x.mean((1, 2))}


def test_the_table_of_padding_is_what_its_lines_say():
  padding = runpy.run_path(str(_BENCHMARKS / "padding_weights.py"))
  lines = padding["LINES"].read_text().splitlines()
  page = (padding["LINES"].parent / "results.md").read_text()
  assert padding["tabulate"](list(map(json.loads, lines))) in page


def test_weights_that_multiply_padding_alone():
  padding = runpy.run_path(str(_BENCHMARKS / "padding_weights.py"))
  ticket = types.SimpleNamespace(network=lambda num_outputs: _Strided())
  for pixels, conv1, conv2 in (
    (1, [[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    (2, [[1, 1, 1]] * 3, [[0, 0, 0], [0, 1, 1], [0, 1, 1]]),
    (3, [[1, 1, 1]] * 3, [[1, 1, 1]] * 3),
  ):
    reached = padding["find_reached"](ticket, pixels)
    np.testing.assert_array_equal(
      reached["conv1/kernel"][..., 0, 0], np.array(conv1, bool)
    )
    np.testing.assert_array_equal(
      reached["conv2/kernel"][..., 0, 0], np.array(conv2, bool)
    )


def test_the_table_of_channels_is_what_its_lines_say():
  quality = runpy.run_path(str(_BENCHMARKS / "channel_quality.py"))
  lines = quality["LINES"].read_text().splitlines()
  page = (quality["LINES"].parent / "channels.md").read_text()
  assert quality["tabulate"](list(map(json.loads, lines))) in page
